#pragma once

#include <cstddef>

namespace tandem::cuda::emulation {

/// A stack of its own, on which code of one OS thread runs in turns with the thread's own stack.  The
/// sanitizers are told of every switch; to ThreadSanitizer a fibre is a thread, and a switch orders nothing.
class Fibre {
 public:
  /// `entry(argument)` starts with the first resume() and never returns.  Throws std::bad_alloc.
  Fibre(void (*entry)(void*), void* argument);
  Fibre(const Fibre&) = delete;
  Fibre& operator=(const Fibre&) = delete;
  ~Fibre();

  /// From the thread's own stack: runs the fibre until it suspends.
  void resume() noexcept;

  /// From inside the fibre: back to whoever resumed it.
  void suspend() noexcept;

  [[nodiscard]] bool contains(const void* address) const noexcept;

 private:
  struct Entrance;

  void (*entry_)(void*);
  void* argument_;
  std::byte* pages_ = nullptr;  ///< guard page, then the stack
  void* inside_ = nullptr;      ///< where the fibre goes on
  void* outside_ = nullptr;     ///< where its resumer goes on
  const void* resumer_stack_ = nullptr;
  std::size_t resumer_stack_bytes_ = 0;
  void* resumer_fake_stack_ = nullptr;
  void* own_fake_stack_ = nullptr;
  [[maybe_unused]] void* tsan_own_ = nullptr;
  [[maybe_unused]] void* tsan_resumer_ = nullptr;
};

}  // namespace tandem::cuda::emulation
