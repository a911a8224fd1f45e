#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <memory_resource>
#include <mutex>

namespace tandem::model {

/// Memory for things that come and go, from room that is there from the start, of which the system gives what
/// is written to.  What was given back is used again for what is about as large; where the room is full, or
/// so much of it was asked for that the system has no addresses for it, more comes from the default resource.
/// Thread-safe.
class RecycledMemory final : public std::pmr::memory_resource {
 public:
  explicit RecycledMemory(std::size_t room_bytes);

 private:
  struct Unmap {
    std::size_t bytes = 0;
    void operator()(std::byte* at) const noexcept;
  };
  using Room = std::unique_ptr<std::byte, Unmap>;
  static Room room_of(std::size_t bytes);

  /// What was given back, in its own memory.
  struct Free {
    Free* next = nullptr;
  };
  static constexpr std::size_t kClasses = 64;

  void* do_allocate(std::size_t bytes, std::size_t alignment) override;
  void do_deallocate(void* at, std::size_t bytes, std::size_t alignment) override;
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }
  [[nodiscard]] bool is_in_room(const void* at) const noexcept;

  const Room room_;
  const std::size_t room_bytes_;  ///< 0 if there is none
  std::mutex mutex_;              ///< guards both below
  std::size_t used_bytes_ = 0;
  std::array<Free*, kClasses> free_{};  ///< by class of size
};

}  // namespace tandem::model
