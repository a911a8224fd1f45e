#pragma once

#include <cstdint>
#include <numeric>

namespace tandem::cuda::emulation {

/// Where the emulation has a choice, the seed decides (splitmix64).
class Random {
 public:
  explicit Random(std::uint64_t seed) noexcept : state_(seed) {}

  std::uint64_t next() noexcept {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t bits = state_;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9u;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebu;
    return bits ^ (bits >> 31);
  }

  /// Any of 0 to n - 1; 0 if there is none.
  std::uint64_t below(std::uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }

 private:
  std::uint64_t state_;
};

/// An order of 0 to n - 1 that takes no memory: i -> (stride * i + offset) mod n, stride coprime to n.
class Order {
 public:
  Order(std::uint64_t n, Random& random) noexcept : n_(n), offset_(random.below(n)) {
    do {
      stride_ = 1 + random.below(n);
    } while (std::gcd(stride_, n) != 1);
  }

  std::uint64_t operator[](std::uint64_t i) const noexcept { return (stride_ * i + offset_) % n_; }

  /// (*this)[0], and (*this)[i + 1] from (*this)[i].
  std::uint64_t first() const noexcept { return offset_; }
  std::uint64_t after(std::uint64_t number) const noexcept {
    const std::uint64_t next = number + stride_;
    return next >= n_ ? next - n_ : next;
  }

 private:
  std::uint64_t n_;
  std::uint64_t offset_;
  std::uint64_t stride_ = 1;
};

}  // namespace tandem::cuda::emulation
