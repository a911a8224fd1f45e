#pragma once

// Which sanitizers this build has, and what they need to be told; nothing where there is none.

#include <cstddef>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TANDEM_ASAN
#endif
#if __has_feature(thread_sanitizer)
#define TANDEM_TSAN
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(TANDEM_ASAN)
#define TANDEM_ASAN
#endif
#if defined(__SANITIZE_THREAD__) && !defined(TANDEM_TSAN)
#define TANDEM_TSAN
#endif

#if defined(TANDEM_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif
#if defined(TANDEM_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace tandem::cuda::emulation {

/// Bookkeeping that fibres share: only ever touched by one OS thread, but to ThreadSanitizer its fibres are
/// threads without an order.
#if defined(TANDEM_TSAN)
#define TANDEM_UNSEEN __attribute__((noinline, no_sanitize("thread")))
#else
#define TANDEM_UNSEEN
#endif

/// What was done before publish(where) is visible after observe(where).
inline void publish([[maybe_unused]] void* where) noexcept {
#if defined(TANDEM_TSAN)
  __tsan_release(where);
#endif
}
inline void observe([[maybe_unused]] void* where) noexcept {
#if defined(TANDEM_TSAN)
  __tsan_acquire(where);
#endif
}

/// Every access to these bytes is an error, until they are allowed again.
inline void forbid([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t n) noexcept {
#if defined(TANDEM_ASAN)
  __asan_poison_memory_region(bytes, n);
#endif
}
inline void allow([[maybe_unused]] void* bytes, [[maybe_unused]] std::size_t n) noexcept {
#if defined(TANDEM_ASAN)
  __asan_unpoison_memory_region(bytes, n);
#endif
}

}  // namespace tandem::cuda::emulation
