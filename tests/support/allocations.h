#pragma once

#include <cstdint>
#include <string>

namespace tandem::test_support {

/// Counts every operator new of the process, on whatever thread, in programs that are linked with
/// allocations.cpp.  One at a time; thread-safe.
class Allocations {
 public:
  /// Counts from zero, from now on.  What a thread allocates while `exempt` says so on it does not count.
  static void start(bool (*exempt)() noexcept) noexcept;
  static void stop() noexcept;

  [[nodiscard]] static std::uint64_t count() noexcept;
  /// Where the first one came from: addresses for addr2line.
  [[nodiscard]] static std::string first();
};

}  // namespace tandem::test_support
