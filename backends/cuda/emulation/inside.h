#pragma once

namespace tandem::cuda::emulation {

/// While one exists, its thread works as the emulated device.  Who counts what a program allocates leaves
/// that out: a real device's work is not done by the host.
class Inside {
 public:
  Inside() noexcept { ++depth; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;
  ~Inside() { --depth; }

  /// Whether this thread is.
  static bool here() noexcept { return depth > 0; }

 private:
  static inline thread_local unsigned depth = 0;
};

}  // namespace tandem::cuda::emulation
