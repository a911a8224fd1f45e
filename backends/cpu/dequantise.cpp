#include "backends/cpu/dequantise.h"

#include <cstring>

#include "backends/cpu/blocks.h"
#include "backends/cpu/repacked.h"

namespace tandem::cpu {
namespace {

struct BlockSize {
  std::uint32_t elems = 0;
  std::uint32_t bytes = 0;
};

BlockSize block_size(device::BlockType type) {
  switch (type) {
    case device::BlockType::f32:
      return {1, 4};
    case device::BlockType::f16:
    case device::BlockType::bf16:
      return {1, 2};
    default:
      break;
  }
  BlockSize size;
  for_each_block_format([&](auto format) {
    if (format.kType == type)
      size = {static_cast<std::uint32_t>(format.kElems), static_cast<std::uint32_t>(format.kBytes)};
  });
  return size;
}

/// Scale and min of every group of a block.
template <class Format>
struct GroupScales {
  static constexpr int kGroups = Format::kElems / Format::kGroup;
  float scale[kGroups] = {};
  float min[kGroups] = {};

  explicit GroupScales(const BlockSource& from) {
    const auto set = [&](int group, float group_scale, auto... group_min) {
      scale[group] = group_scale;
      ((min[group] = group_min), ...);
    };
    if constexpr (Format::kGroup == 32) {
      Format::unpack_scales(from, set);
    } else {
      Format::unpack_factors(from, [&](float block_scale, auto... block_min) {
        Format::unpack_scales(from, [&](int group, std::uint32_t whole) {
          set(group, block_scale * BlockSource::to_floats(whole));
        });
        (set_mins(from, block_min), ...);
      });
    }
  }

 private:
  void set_mins(const BlockSource& from, float block_min) {
    Format::unpack_mins(from, [&](int i, std::uint32_t whole) {
      min[2 * i] = block_min * BlockSource::to_floats(whole & 0xffff);
      min[2 * i + 1] = block_min * BlockSource::to_floats(whole >> 16);
    });
  }
};

template <class Format>
void dequantise_block(const std::uint8_t* block, float* values) {
  std::uint8_t quants[Format::kElems] = {};
  const BlockSource from{block};
  const GroupScales<Format> groups(from);
  Format::unpack_quants(from, [&](int group, auto... sixteens) {
    std::uint8_t* to = quants + group * Format::kGroup;
    ((std::memcpy(to, &sixteens, sizeof sixteens), to += sizeof sixteens), ...);
  });
  for (int e = 0; e < Format::kElems; ++e) {
    const int g = e / Format::kGroup;
    const float scaled = groups.scale[g] * static_cast<float>(quants[e] - Format::kOffset);
    if constexpr (Format::kHasMin) {
      values[e] = scaled + groups.min[g];
    } else {
      values[e] = scaled;
    }
  }
}

/// No block type has larger blocks, and no float type larger fields.
constexpr std::size_t kMostBlockBytes = 256;

}  // namespace

std::uint32_t block_elems(device::BlockType type) noexcept {
  return block_size(type).elems;
}

std::uint32_t block_bytes(device::BlockType type) noexcept {
  return block_size(type).bytes;
}

std::size_t row_bytes(device::BlockType type, std::uint32_t elems) noexcept {
  const BlockSize size = block_size(type);
  return size.elems == 0 ? 0 : std::size_t{elems} / size.elems * size.bytes;
}

void dequantise(device::BlockType type, const std::byte* row, std::uint32_t elems, float* values) noexcept {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(row);
  if (type == device::BlockType::f32) {
    std::memcpy(values, row, std::size_t{elems} * sizeof(float));
    return;
  }
  if (type == device::BlockType::f16) {
    for (std::size_t i = 0; i < elems; ++i) values[i] = half_at(bytes + 2 * i);
    return;
  }
  if (type == device::BlockType::bf16) {
    for (std::size_t i = 0; i < elems; ++i) {
      values[i] =
          __builtin_bit_cast(float, static_cast<std::uint32_t>(bytes[2 * i] | bytes[2 * i + 1] << 8) << 16);
    }
    return;
  }
  for_each_block_format([&](auto format) {
    if (format.kType != type) return;
    for (std::size_t b = 0; b < elems / format.kElems; ++b) {
      dequantise_block<decltype(format)>(bytes + b * format.kBytes, values + b * format.kElems);
    }
  });
}

void dequantise_row(const device::Matrix& w, std::uint32_t row, float* values) noexcept {
  if (lies_in_rows(w)) {
    const auto* rows = static_cast<const std::byte*>(w.data);
    return dequantise(w.type, rows + row * row_bytes(w.type, w.in), w.in, values);
  }
  const std::uint32_t blocks = device::multiplies_floats(w.type) ? kFloatFieldElems : 1;
  const std::uint32_t elems = blocks * block_elems(w.type);
  for (std::uint32_t block = 0; block < w.in / elems; ++block) {
    std::byte bytes[kMostBlockBytes];
    blocks_from_repacked(w, row, block * blocks, blocks, bytes);
    dequantise(w.type, bytes, elems, values + std::size_t{block} * elems);
  }
}

}  // namespace tandem::cpu
