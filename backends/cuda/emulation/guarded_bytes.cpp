#include "backends/cuda/emulation/guarded_bytes.h"

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <mutex>
#include <new>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>

#include "backends/cuda/emulation/device_code.h"
#include "backends/cuda/emulation/sanitizers.h"

namespace tandem::cuda::emulation {
namespace {

constexpr int kFiller = 0xa5;  ///< of bytes that belong to nobody

/// How far before the beginning `intact` looks: it is asked after every kernel.
constexpr std::ptrdiff_t kCheckedBytes = 64;

std::size_t page_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

struct Region {
  std::size_t pages_bytes;
  const std::byte* data;
  std::size_t bytes;
  MemoryKind kind;
};

/// Every guarded memory by its first page.
struct Regions {
  std::mutex mutex;
  std::map<const std::byte*, Region> by_page;
};

Regions& regions() {
  static Regions all;
  return all;
}

const Region* region_of(const std::byte* address) {
  const auto& by_page = regions().by_page;  // nothing else runs any more
  auto after = by_page.upper_bound(address);
  if (after == by_page.begin()) return nullptr;
  --after;
  return address < after->first + after->second.pages_bytes ? &after->second : nullptr;
}

const char* what_happened(const Region& region, std::ptrdiff_t at) {
  const bool inside = at >= 0 && at < static_cast<std::ptrdiff_t>(region.bytes);
  if (!inside) return "out-of-bounds access";
  return region.kind == MemoryKind::device ? "host access to device memory"
                                           : "host access to pinned memory that unfinished work uses";
}

/// Says what a forbidden access was and ends the process; other faults go to whoever handled them before.
struct FaultHandler {
  struct sigaction before {};

  FaultHandler() {
    struct sigaction action {};
    action.sa_sigaction = [](int, siginfo_t* info, void*) { handle(static_cast<std::byte*>(info->si_addr)); };
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before);
  }

  static FaultHandler& the() {
    static FaultHandler handler;
    return handler;
  }

  static void handle(const std::byte* address) {
    const Region* region = region_of(address);
    if (region == nullptr) {
      sigaction(SIGSEGV, &the().before, nullptr);  // the access is tried again
      return;
    }
    const std::ptrdiff_t at = address - region->data;
    char text[400];
    int length = std::snprintf(text, sizeof text, "emulated device: %s, byte %td of %zu",
                               what_happened(*region, at), at, region->bytes);
    if (kernel_place.kernel != nullptr) {
      length += std::snprintf(text + length, sizeof text - static_cast<std::size_t>(length),
                              ", in kernel %s, block (%u,%u,%u), thread (%u,%u,%u)", kernel_place.kernel,
                              blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z);
    }
    text[length] = '\n';
    if (write(STDERR_FILENO, text, static_cast<std::size_t>(length) + 1) < 0) _exit(2);
    std::signal(SIGABRT, SIG_DFL);
    std::abort();
  }
};

int protection(Access access) noexcept {
  switch (access) {
    case Access::none:
      return PROT_NONE;
    case Access::read:
      return PROT_READ;
    case Access::read_write:
      break;
  }
  return PROT_READ | PROT_WRITE;
}

std::size_t rounded_up(std::size_t bytes, std::size_t to) {
  if (bytes > SIZE_MAX - to) throw std::bad_alloc();
  return (bytes + to - 1) / to * to;
}

}  // namespace

GuardedBytes::GuardedBytes(std::size_t bytes, MemoryKind kind) : bytes_(bytes) {
  FaultHandler::the();
  const std::size_t padded = rounded_up(bytes, kAlignment);
  pages_bytes_ = rounded_up(padded, page_bytes()) + 2 * page_bytes();
  void* pages =
      mmap(nullptr, pages_bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<std::byte*>(pages);
  data_ = pages_ + pages_bytes_ - page_bytes() - padded;
  std::byte* first = pages_ + page_bytes();
  std::byte* end = pages_ + pages_bytes_ - page_bytes();
  std::memset(first, kFiller, static_cast<std::size_t>(data_ - first));
  std::memset(data_ + bytes, kFiller, padded - bytes);
  forbid(first, static_cast<std::size_t>(data_ - first));
  forbid(data_ + bytes, padded - bytes);
  mprotect(pages_, page_bytes(), PROT_NONE);
  mprotect(end, page_bytes(), PROT_NONE);
  const std::lock_guard lock(regions().mutex);
  regions().by_page[pages_] = {pages_bytes_, data_, bytes, kind};
}

GuardedBytes::GuardedBytes(GuardedBytes&& other) noexcept
    : pages_(std::exchange(other.pages_, nullptr)),
      pages_bytes_(std::exchange(other.pages_bytes_, 0)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)) {}

GuardedBytes& GuardedBytes::operator=(GuardedBytes&& other) noexcept {
  std::swap(pages_, other.pages_);
  std::swap(pages_bytes_, other.pages_bytes_);
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

GuardedBytes::~GuardedBytes() {
  if (pages_ == nullptr) return;
  {
    const std::lock_guard lock(regions().mutex);
    regions().by_page.erase(pages_);
  }
  allow(pages_, pages_bytes_);  // these addresses may become something else
  munmap(pages_, pages_bytes_);
}

bool GuardedBytes::contains(const void* address, std::size_t bytes) const noexcept {
  const auto* at = static_cast<const std::byte*>(address);
  return at >= data_ && at <= data_ + bytes_ && bytes <= static_cast<std::size_t>(data_ + bytes_ - at);
}

void GuardedBytes::set_access(Access access) const noexcept {
  mprotect(pages_ + page_bytes(), pages_bytes_ - 2 * page_bytes(), protection(access));
}

void GuardedBytes::set_access(const void* from, std::size_t bytes, Access access) const noexcept {
  const auto* at = static_cast<const std::byte*>(from);
  const auto begin = static_cast<std::size_t>(at - pages_);
  const std::size_t end = begin + bytes;
  const bool to_the_end = at + bytes == data_ + bytes_;
  const std::size_t first_page =
      (at == data_ ? begin : begin + page_bytes() - 1) / page_bytes() * page_bytes();
  const std::size_t end_page = (to_the_end ? end + page_bytes() - 1 : end) / page_bytes() * page_bytes();
  if (first_page < end_page) mprotect(pages_ + first_page, end_page - first_page, protection(access));
}

__attribute__((no_sanitize("address"))) bool GuardedBytes::intact() const noexcept {
  const auto untouched =
      [](const std::byte* from, const std::byte* to) __attribute__((no_sanitize("address"))) {
    for (; from < to; ++from) {
      if (*from != std::byte{kFiller}) return false;
    }
    return true;
  };
  const std::byte* first = pages_ + page_bytes();
  return untouched(data_ - first > kCheckedBytes ? data_ - kCheckedBytes : first, data_) &&
         untouched(data_ + bytes_, pages_ + pages_bytes_ - page_bytes());
}

}  // namespace tandem::cuda::emulation
