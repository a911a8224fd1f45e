#pragma once

#include <algorithm>
#include <array>
#include <cstddef>

namespace tandem::planner {

/// Eight numbers that are computed with alike, two at a time as every processor can: compilers do not see
/// that they may.
class Eight {
 public:
  static constexpr std::size_t kCount = 8;

  Eight() = default;
  /// All the same.
  explicit Eight(double value) { pairs_.fill(Pair{value, value}); }

  [[nodiscard]] double operator[](std::size_t i) const noexcept { return pairs_[i / 2][i % 2]; }
  void set(std::size_t i, double value) noexcept { pairs_[i / 2][i % 2] = value; }

  friend Eight operator+(const Eight& a, const Eight& b) noexcept {
    return a.with(b, [](Pair x, Pair y) { return x + y; });
  }
  friend Eight operator-(const Eight& a, const Eight& b) noexcept {
    return a.with(b, [](Pair x, Pair y) { return x - y; });
  }
  friend Eight operator*(const Eight& a, const Eight& b) noexcept {
    return a.with(b, [](Pair x, Pair y) { return x * y; });
  }

  [[nodiscard]] double least() const noexcept {
    const auto lesser = [](Pair x, Pair y) { return x < y ? x : y; };
    const auto pair = lesser(lesser(pairs_[0], pairs_[1]), lesser(pairs_[2], pairs_[3]));
    return std::min(pair[0], pair[1]);
  }
  [[nodiscard]] double most() const noexcept {
    const auto greater = [](Pair x, Pair y) { return x > y ? x : y; };
    const auto pair = greater(greater(pairs_[0], pairs_[1]), greater(pairs_[2], pairs_[3]));
    return std::max(pair[0], pair[1]);
  }

 private:
  using Pair = double __attribute__((vector_size(16)));

  template <typename Operation>
  [[nodiscard]] Eight with(const Eight& other, Operation operation) const noexcept {
    Eight result;
    result.pairs_ = {operation(pairs_[0], other.pairs_[0]), operation(pairs_[1], other.pairs_[1]),
                     operation(pairs_[2], other.pairs_[2]), operation(pairs_[3], other.pairs_[3])};
    return result;
  }

  std::array<Pair, kCount / 2> pairs_{};
};

}  // namespace tandem::planner
