#include "backends/cuda/emulation/fibre.h"

#include <new>
#include <sys/mman.h>
#include <unistd.h>

#include <boost/context/detail/fcontext.hpp>

#include "backends/cuda/emulation/sanitizers.h"

namespace tandem::cuda::emulation {
namespace {

namespace context = boost::context::detail;

/// Only what is used takes memory; sanitizers make frames several times larger.
constexpr std::size_t kStackBytes = std::size_t{256} << 10;

std::size_t guard_bytes() noexcept {
  static const auto bytes = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return bytes;
}

/// Leaves this stack for another; `fake_stack` keeps what AddressSanitizer knows of this one.
void begin_switch([[maybe_unused]] void** fake_stack, [[maybe_unused]] const void* stack,
                  [[maybe_unused]] std::size_t bytes) noexcept {
#if defined(TANDEM_ASAN)
  __sanitizer_start_switch_fiber(fake_stack, stack, bytes);
#endif
}

/// Arrived on a stack; the one that was left goes to `stack` and `bytes`.
void end_switch([[maybe_unused]] void* fake_stack, [[maybe_unused]] const void** stack,
                [[maybe_unused]] std::size_t* bytes) noexcept {
#if defined(TANDEM_ASAN)
  __sanitizer_finish_switch_fiber(fake_stack, stack, bytes);
#endif
}

}  // namespace

struct Fibre::Entrance {
  TANDEM_UNSEEN static void enter(context::transfer_t from) {
    auto* self = static_cast<Fibre*>(from.data);
    self->outside_ = from.fctx;
    end_switch(nullptr, &self->resumer_stack_, &self->resumer_stack_bytes_);
    self->entry_(self->argument_);
  }
};

Fibre::Fibre(void (*entry)(void*), void* argument) : entry_(entry), argument_(argument) {
  void* pages = mmap(nullptr, guard_bytes() + kStackBytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  pages_ = static_cast<std::byte*>(pages);
  mprotect(pages_, guard_bytes(), PROT_NONE);
  inside_ = context::make_fcontext(pages_ + guard_bytes() + kStackBytes, kStackBytes, &Entrance::enter);
#if defined(TANDEM_TSAN)
  tsan_own_ = __tsan_create_fiber(0);
#endif
}

Fibre::~Fibre() {
#if defined(TANDEM_TSAN)
  __tsan_destroy_fiber(tsan_own_);
#endif
  allow(pages_ + guard_bytes(), kStackBytes);  // these addresses may become something else
  munmap(pages_, guard_bytes() + kStackBytes);
}

TANDEM_UNSEEN void Fibre::resume() noexcept {
  begin_switch(&resumer_fake_stack_, pages_ + guard_bytes(), kStackBytes);
#if defined(TANDEM_TSAN)
  tsan_resumer_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(tsan_own_, __tsan_switch_to_fiber_no_sync);
#endif
  inside_ = context::jump_fcontext(inside_, this).fctx;
  end_switch(resumer_fake_stack_, nullptr, nullptr);
}

TANDEM_UNSEEN void Fibre::suspend() noexcept {
  begin_switch(&own_fake_stack_, resumer_stack_, resumer_stack_bytes_);
#if defined(TANDEM_TSAN)
  __tsan_switch_to_fiber(tsan_resumer_, __tsan_switch_to_fiber_no_sync);
#endif
  outside_ = context::jump_fcontext(outside_, this).fctx;
  end_switch(own_fake_stack_, &resumer_stack_, &resumer_stack_bytes_);
}

bool Fibre::contains(const void* address) const noexcept {
  const auto* at = static_cast<const std::byte*>(address);
  return at >= pages_ && at < pages_ + guard_bytes() + kStackBytes;
}

}  // namespace tandem::cuda::emulation
