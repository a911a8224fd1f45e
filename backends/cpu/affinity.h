#pragma once

#include <memory>

namespace tandem::cpu {

/// The physical cores this process may use, and how to stay on one of them.
class Cores {
 public:
  Cores();
  ~Cores();
  Cores(const Cores&) = delete;
  Cores& operator=(const Cores&) = delete;

  /// Physical cores of which the process may use at least one hardware thread, or as many as its CPU quota
  /// can keep busy if that is less; at least 1.
  [[nodiscard]] unsigned count() const noexcept;

  /// Binds the calling thread to one hardware thread of core `index` (modulo the cores).  False if the
  /// machine or its settings do not allow it.
  bool pin_this_thread(unsigned index) const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::cpu
