#include "daemon/calibration/weight_block.h"

#include <cstring>
#include <new>

#include "backends/cpu/dequantise.h"
#include "memory/pages.h"

namespace tandem::calibration {
namespace {

constexpr std::size_t kLineBytes = 64;

std::size_t alignment_of(std::size_t bytes) {
  return bytes < memory::kHugePageBytes ? kLineBytes : memory::kHugePageBytes;
}

std::size_t aligned(std::size_t bytes) {
  const auto alignment = alignment_of(bytes);
  return (bytes + alignment - 1) / alignment * alignment;
}

}  // namespace

WeightBlock::WeightBlock(std::size_t bytes, Pages pages)
    : size_(aligned(bytes)), bytes_(static_cast<std::byte*>(std::aligned_alloc(alignment_of(bytes), size_))) {
  if (bytes_ == nullptr) throw std::bad_alloc();
  if (size_ >= memory::kHugePageBytes) {
    pages == Pages::huge ? memory::want_huge_pages(this->bytes()) : memory::want_small_pages(this->bytes());
  }
  // Bytes of 0x28 to 0x37: as upper half of an fp16, of a bf16 or of an fp32, and as an exponent alone
  // (E8M0), they make numbers whose products with each other are normal too.
  std::uint64_t state = 1;
  for (std::size_t at = 0; at < size_; at += sizeof state) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;  // Knuth, MMIX
    const std::uint64_t eight = 0x2828282828282828ULL + ((state >> 17) & 0x0f0f0f0f0f0f0f0fULL);
    std::memcpy(bytes_.get() + at, &eight, sizeof eight);
  }
}

std::size_t ffn_bytes(const FfnShape& shape, device::BlockType type) {
  return 2 * cpu::row_bytes(type, shape.width) * shape.ffn_width +
         cpu::row_bytes(type, shape.ffn_width) * shape.width;
}

FfnMatrices ffn_at(const FfnShape& shape, device::BlockType type, device::WeightLayout layout,
                   const std::byte* block, std::size_t first) {
  const auto gate_bytes = cpu::row_bytes(type, shape.width) * shape.ffn_width;
  const auto* const data = block + first;
  return {{data, type, shape.width, shape.ffn_width, layout},
          {data + gate_bytes, type, shape.width, shape.ffn_width, layout},
          {data + 2 * gate_bytes, type, shape.ffn_width, shape.width, layout}};
}

}  // namespace tandem::calibration
