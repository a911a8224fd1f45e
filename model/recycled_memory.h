#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <memory_resource>
#include <mutex>

namespace tandem::model {

/// Memory for things that come and go, from room that is there from the start, of which the system gives what
/// is written to.  Pieces are powers of two; two halves of one that were given back are one again, so that
/// the room serves one size after the other.  Where it is full, or so much of it was asked for that the
/// system has no addresses for it, more comes from the default resource.  Thread-safe.
class RecycledMemory final : public std::pmr::memory_resource {
 public:
  explicit RecycledMemory(std::size_t room_bytes);

  /// That were asked for and not given back.
  [[nodiscard]] std::size_t bytes_in_use() {
    const std::lock_guard lock(mutex_);
    return in_use_;
  }

 private:
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(std::byte* at) const noexcept;
  };
  using Room = std::unique_ptr<std::byte, Unmap>;
  static Room room_of(std::size_t bytes);

  /// A free piece, in its own memory.
  struct Free {
    Free* next = nullptr;
    Free* before = nullptr;
  };
  static constexpr std::size_t kOrders = 48;  ///< pieces have kLeastBytes << order bytes

  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* at, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
  [[nodiscard]] bool is_in_room(const void* at) const noexcept;
  std::byte* take(std::size_t order) noexcept;
  void give_back(std::size_t at, std::size_t order) noexcept;
  void link(std::size_t at, std::size_t order) noexcept;
  void unlink(std::size_t at, std::size_t order) noexcept;
  [[nodiscard]] std::uint8_t& mark(std::size_t at) const noexcept;

  std::size_t room_bytes_;  ///< 0 if there is none
  const Room room_;         ///< and behind it a mark for each of its smallest pieces
  std::mutex mutex_;        ///< guards the marks, what is free and what is in use
  std::size_t in_use_ = 0;
  std::array<Free*, kOrders> free_{};
};

}  // namespace tandem::model
