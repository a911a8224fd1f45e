#include "backends/cpu/team.h"

#include "backends/cpu/affinity.h"

namespace tandem::cpu {
namespace {

/// Tells the core that this thread waits, so that another one beside it has more of it.
void wait_a_moment() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

unsigned team_size(unsigned threads) {
  return threads != 0 ? threads : Cores().count();
}

}  // namespace

Team::Team(unsigned threads) : threads_(team_size(threads)), executor_(threads_), claims_(threads_) {}

std::string Pinning::words() const {
  return std::to_string(pinned) + " of " + std::to_string(threads) + " threads pinned to " +
         std::to_string(cores) + " cores" + (threads > cores ? " (more threads than cores)" : "");
}

Pinning Team::pin() {
  const Cores cores;
  std::atomic<unsigned> pinned{0};
  run([&](const Member& member) {
    if (cores.pin_this_thread(member.index())) pinned.fetch_add(1);
  });
  if (threads_ > cores.count()) spins_ = 0;
  return {pinned.load(), threads_, cores.count()};
}

std::uint32_t Team::Member::begin_operation() noexcept {
  const std::uint32_t operation = team_.generation_.load(std::memory_order_acquire);
  // All are through with the operation before, which these were for, and nobody has begun the next one.
  claims(index_, operation + 1).clear();
  return operation;
}

void Team::Member::wait_for_all(std::uint32_t operation) noexcept {
  if (team_.arrived_.fetch_add(1, std::memory_order_acq_rel) + 1 == count_) {
    team_.arrived_.store(0, std::memory_order_relaxed);
    team_.generation_.store(operation + 1, std::memory_order_release);
    team_.generation_.notify_all();
    return;
  }
  for (int spin = 0; spin < team_.spins_; ++spin) {
    if (team_.generation_.load(std::memory_order_acquire) != operation) return;
    wait_a_moment();
  }
  team_.generation_.wait(operation, std::memory_order_acquire);
}

}  // namespace tandem::cpu
