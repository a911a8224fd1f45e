#pragma once

#include <array>
#include <cstddef>
#include <utility>

namespace tandem::engine {

/// At most `N` values in the order they came, in place: a value stays where it is until it is popped.
template <class T, std::size_t N>
class BoundedQueue {
 public:
  [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] T& front() noexcept { return values_[first_]; }

  /// The i-th oldest, i < size().
  [[nodiscard]] const T& operator[](std::size_t i) const noexcept { return values_[(first_ + i) % N]; }

  /// Precondition: fewer than N are there.
  T& push(T value) {
    T& place = values_[(first_ + size_) % N];
    place = std::move(value);
    ++size_;
    return place;
  }

  /// Precondition: there is one.
  T pop() {
    T value = std::exchange(values_[first_], T());
    first_ = (first_ + 1) % N;
    --size_;
    return value;
  }

  /// The i-th oldest, i < size(), out of its turn: those before it move.
  T take(std::size_t i) {
    for (; i > 0; --i) std::swap(values_[(first_ + i) % N], values_[(first_ + i - 1) % N]);
    return pop();
  }

 private:
  std::array<T, N> values_ = {};
  std::size_t first_ = 0;
  std::size_t size_ = 0;
};

}  // namespace tandem::engine
