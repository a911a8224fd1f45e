#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <span>

#include "backends/device.h"

namespace tandem::calibration {

/// Pages of memory: huge, as weights in own memory have them, or small, as those of a mapped file are.
enum class Pages { huge, small };

/// Memory full of bytes that are sane weights of every block type in every layout: wherever a scale lies, it
/// is a normal number above 0.  Every type's matrices are views of the same bytes.
class WeightBlock {
 public:
  /// Throws std::bad_alloc.
  explicit WeightBlock(std::size_t bytes, Pages pages = Pages::huge);

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {bytes_.get(), size_}; }

 private:
  struct Free {
    void operator()(std::byte* bytes) const noexcept { std::free(bytes); }
  };

  std::size_t size_;  ///< a multiple of a cache line, where it starts too; large ones of a huge page
  std::unique_ptr<std::byte, Free> bytes_;
};

/// The matrices of an FFN half, which most weights of a model are in.
struct FfnMatrices {
  device::Matrix gate;
  device::Matrix up;
  device::Matrix down;
};

/// Widths of an FFN half.
struct FfnShape {
  std::uint32_t width = 3840;  ///< Gemma 3 and 4 12B
  std::uint32_t ffn_width = 15360;
};

/// Bytes of the three matrices.
std::size_t ffn_bytes(const FfnShape& shape, device::BlockType type);

/// The matrices that start at byte `first` of `block`, which is long enough, in `layout`.
FfnMatrices ffn_at(const FfnShape& shape, device::BlockType type, device::WeightLayout layout,
                   const std::byte* block, std::size_t first);

}  // namespace tandem::calibration
