#include "memory/pages.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <sys/mman.h>
#include <unistd.h>

namespace tandem::memory {
namespace {

// Linux 5.14 and later; the C library's headers may be older.
constexpr int kPopulateRead = 22;
constexpr int kPopulateWrite = 23;

/// The pages that `bytes` lie in, for calls that take whole pages.
struct PageRange {
  std::uintptr_t begin = 0;
  std::size_t size = 0;
  std::size_t page_bytes = 0;
};

PageRange pages_of(std::span<const std::byte> bytes) noexcept {
  const auto page_bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(bytes.data()) & ~(page_bytes - 1);
  const auto end = reinterpret_cast<std::uintptr_t>(bytes.data() + bytes.size());
  return {begin, end - begin, page_bytes};
}

/// Those of them that hold nobody else's bytes.
PageRange pages_inside(std::span<const std::byte> bytes) noexcept {
  auto range = pages_of(bytes);
  auto end = range.begin + range.size;
  if (range.begin != reinterpret_cast<std::uintptr_t>(bytes.data())) range.begin += range.page_bytes;
  end &= ~(range.page_bytes - 1);
  range.size = end > range.begin ? end - range.begin : 0;
  return range;
}

/// 0, or why not.
int advise(const PageRange& range, int advice) noexcept {
  int error = EINTR;
  // NOLINTNEXTLINE(performance-no-int-to-ptr): for the kernel, which follows it as a number
  void* const begin = reinterpret_cast<void*>(range.begin);
  while (error == EINTR || error == EAGAIN) {
    error = madvise(begin, range.size, advice) == 0 ? 0 : errno;
  }
  return error;
}

}  // namespace

bool populate_for_reading(std::span<const std::byte> bytes) noexcept {
  if (bytes.empty()) return true;
  const auto range = pages_of(bytes);
  const int error = advise(range, kPopulateRead);
  if (error != EINVAL && error != ENOSYS) return error == 0;
  for (std::size_t at = 0; at < bytes.size(); at += range.page_bytes) {
    static_cast<void>(*static_cast<const volatile std::byte*>(bytes.data() + at));
  }
  return true;
}

bool is_cached(std::span<const std::byte> bytes) noexcept {
  constexpr std::size_t kPagesAtOnce = 512;
  const auto range = pages_of(bytes);
  std::array<unsigned char, kPagesAtOnce> pages{};
  for (std::size_t at = 0; at < range.size; at += pages.size() * range.page_bytes) {
    const auto size = std::min(range.size - at, pages.size() * range.page_bytes);
    const auto n = (size + range.page_bytes - 1) / range.page_bytes;
    // NOLINTNEXTLINE(performance-no-int-to-ptr): for the kernel, which follows it as a number
    if (mincore(reinterpret_cast<void*>(range.begin + at), size, pages.data()) != 0) return false;
    const auto there = [](unsigned char page) { return (page & 1U) != 0; };
    if (!std::all_of(pages.begin(), pages.begin() + static_cast<std::ptrdiff_t>(n), there)) return false;
  }
  return true;
}

bool populate_for_writing(std::span<std::byte> bytes) noexcept {
  if (bytes.empty()) return true;
  const auto range = pages_of(bytes);
  const int error = advise(range, kPopulateWrite);
  if (error != EINVAL && error != ENOSYS) return error == 0;
  for (std::size_t at = 0; at < bytes.size(); at += range.page_bytes) {
    auto* byte = static_cast<volatile std::byte*>(bytes.data() + at);
    *byte = *byte;
  }
  return true;
}

void want_huge_pages(std::span<std::byte> bytes) noexcept {
  static_cast<void>(advise(pages_of(bytes), MADV_HUGEPAGE));
}

void want_small_pages(std::span<const std::byte> bytes) noexcept {
  const auto range = pages_inside(bytes);
  if (range.size > 0) static_cast<void>(advise(range, MADV_NOHUGEPAGE));
}

void release(std::span<const std::byte> bytes) noexcept {
  if (!bytes.empty()) static_cast<void>(advise(pages_of(bytes), MADV_DONTNEED));
}

}  // namespace tandem::memory
