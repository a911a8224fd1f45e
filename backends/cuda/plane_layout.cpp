#include "backends/cuda/plane_layout.h"

#include <cstring>

namespace tandem::cuda {
namespace {

/// With a size known to the compiler a part is a few moves, not a call.
template <std::uint32_t kBytes>
void gather(const std::byte* from, std::uint32_t block_bytes, std::uint64_t n, std::byte* to) noexcept {
  for (std::uint64_t i = 0; i < n; ++i) std::memcpy(to + i * kBytes, from + i * block_bytes, kBytes);
}

/// As gather, downwards in the same memory: all of an item is read before any of it is written.
template <std::uint32_t kBytes>
void move_down(const std::byte* from, std::uint32_t block_bytes, std::uint64_t n, std::byte* to) noexcept {
  struct Item {
    std::uint64_t words[kBytes / 8];
  };
  for (std::uint64_t i = 0; i < n; ++i) {
    Item item;
    std::memcpy(&item, from + i * block_bytes, kBytes);
    std::memcpy(to + i * kBytes, &item, kBytes);
  }
}

}  // namespace

// The block layouts are those of model-spec 4.3.
PlaneLayout plane_layout(device::BlockType type) noexcept {
  using device::BlockType;
  switch (type) {
    case BlockType::f32:
      return {1, 4, {{0, 4}}};
    case BlockType::f16:
    case BlockType::bf16:
      return {1, 2, {{0, 2}}};
    case BlockType::q4_0:
    case BlockType::iq4_nl:
      return {32, 18, {{2, 16}, {0, 2}}};
    case BlockType::q4_1:
      return {32, 20, {{4, 16}, {0, 4}}};
    case BlockType::q5_0:
      return {32, 22, {{6, 16}, {2, 4}, {0, 2}}};
    case BlockType::q5_1:
      return {32, 24, {{8, 16}, {4, 4}, {0, 4}}};
    case BlockType::q8_0:
      return {32, 34, {{2, 32}, {0, 2}}};
    case BlockType::q2_k:
      return {256, 84, {{16, 64}, {0, 16}, {80, 4}}};
    case BlockType::q3_k:
      return {256, 110, {{32, 64}, {0, 32}, {96, 12}, {108, 2}}};
    case BlockType::q4_k:
      return {256, 144, {{0, 144}}};
    case BlockType::q5_k:
      return {256, 176, {{0, 176}}};
    case BlockType::q6_k:
      return {256, 210, {{0, 128}, {128, 64}, {192, 16}, {208, 2}}};
    case BlockType::iq4_xs:
      return {256, 136, {{8, 128}, {0, 8}}};
    case BlockType::mxfp4:
      return {32, 17, {{1, 16}, {0, 1}}};
  }
  return {};
}

void take_apart(const PlaneLayout& layout, std::uint64_t n, std::byte* memory) noexcept {
  if (other_bytes(layout) == 0) return;
  const std::byte* blocks = memory + n * other_bytes(layout);
  for (std::uint32_t part = 1; part < kMaxParts && layout.parts[part].bytes > 0; ++part) {
    gather_part(layout, layout.parts[part], blocks, n, memory);
    memory += n * layout.parts[part].bytes;
  }
  // `memory` is where the blocks begin now: each of their first parts is written where it, or one before it,
  // was read.
  const BlockPart& first = layout.parts[0];
  blocks += first.at;
  switch (first.bytes) {
    case 16:
      return move_down<16>(blocks, layout.block_bytes, n, memory);
    case 32:
      return move_down<32>(blocks, layout.block_bytes, n, memory);
    case 64:
      return move_down<64>(blocks, layout.block_bytes, n, memory);
    default:
      return move_down<128>(blocks, layout.block_bytes, n, memory);
  }
}

void gather_part(const PlaneLayout& layout, const BlockPart& part, const std::byte* from, std::uint64_t n,
                 std::byte* to) noexcept {
  if (part.bytes == layout.block_bytes) {
    std::memcpy(to, from, n * part.bytes);
    return;
  }
  from += part.at;
  switch (part.bytes) {
    case 1:
      return gather<1>(from, layout.block_bytes, n, to);
    case 2:
      return gather<2>(from, layout.block_bytes, n, to);
    case 4:
      return gather<4>(from, layout.block_bytes, n, to);
    case 8:
      return gather<8>(from, layout.block_bytes, n, to);
    case 16:
      return gather<16>(from, layout.block_bytes, n, to);
    case 32:
      return gather<32>(from, layout.block_bytes, n, to);
    case 64:
      return gather<64>(from, layout.block_bytes, n, to);
    default:
      for (std::uint64_t i = 0; i < n; ++i) {
        std::memcpy(to + i * part.bytes, from + i * layout.block_bytes, part.bytes);
      }
  }
}

}  // namespace tandem::cuda
