#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "model/tensor_type.h"

namespace tandem::bench {

/// A small, fast generator (splitmix64): the same numbers for the same seed, everywhere.
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
  }

  /// Uniform in [low, high).
  float uniform(float low, float high) noexcept {
    return low + (high - low) * static_cast<float>(next() >> 40) * 0x1p-24f;
  }

 private:
  std::uint64_t state_;
};

/// Fills `out`, whole blocks of `type`, with random weights of mean 0 and standard deviation `deviation`.
/// Blocks are made as they are stored, nothing is quantised; block scales differ in size and sign.
void fill_random_blocks(model::TensorType type, float deviation, std::uint64_t seed,
                        std::span<std::byte> out);

}  // namespace tandem::bench
