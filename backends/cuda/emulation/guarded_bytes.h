#pragma once

#include <cstddef>

namespace tandem::cuda::emulation {

/// What a stretch of guarded memory is, for the message when somebody touches it who must not.
enum class MemoryKind { device, pinned, shared };

/// What code on this thread is doing, for the same message; null outside kernels.
struct KernelPlace {
  const char* kernel = nullptr;
};
inline thread_local KernelPlace kernel_place;

/// What the host may do with guarded memory now.
enum class Access { none, read, read_write };

/// Zeroed memory with an unreadable page before and after it, which ends as close to the latter as its
/// alignment of 256 allows; AddressSanitizer knows its exact end.  A forbidden access prints what happened
/// and ends the process.
class GuardedBytes {
 public:
  static constexpr std::size_t kAlignment = 256;

  GuardedBytes() = default;
  /// Throws std::bad_alloc.
  GuardedBytes(std::size_t bytes, MemoryKind kind);
  GuardedBytes(GuardedBytes&& other) noexcept;
  GuardedBytes& operator=(GuardedBytes&& other) noexcept;
  ~GuardedBytes();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }
  [[nodiscard]] bool contains(const void* address, std::size_t bytes) const noexcept;

  /// For all of it.
  void set_access(Access access) const noexcept;
  /// For the whole pages among `bytes` bytes from `from`; the ends of the memory count as ends of a page.
  void set_access(const void* from, std::size_t bytes, Access access) const noexcept;

  /// False if somebody wrote between the end and the guard page (or just before the beginning).
  [[nodiscard]] bool intact() const noexcept;

 private:
  std::byte* pages_ = nullptr;  ///< guard page, pages, guard page
  std::size_t pages_bytes_ = 0;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

}  // namespace tandem::cuda::emulation
