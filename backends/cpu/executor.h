#pragma once

#include <memory>

namespace tandem::cpu {

/// Runs one function on several threads at once.  OpenMP, or std::thread in builds with TANDEM_STD_THREADS
/// (what ThreadSanitizer understands).  Threads that wait for work sleep.
class Executor {
 public:
  /// `index` < `n` threads that really run, the caller being number 0.
  using Body = void (*)(void* context, unsigned index, unsigned n);

  explicit Executor(unsigned threads);
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  /// Returns when every thread has returned from `body`.  Always to be called by the same thread.
  void run(Body body, void* context) noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cpu
