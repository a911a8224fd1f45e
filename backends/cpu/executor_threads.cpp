#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "backends/cpu/executor.h"

namespace tandem::cpu {

struct Executor::Impl {
  Body body = nullptr;
  void* context = nullptr;
  unsigned threads = 1;
  std::atomic<std::uint32_t> round{0};     ///< counts calls of run; workers wait for it to change
  std::atomic<std::uint32_t> finished{0};  ///< workers that are through with this round
  std::atomic<bool> stop{false};
  std::vector<std::thread> workers;

  void work(unsigned index) noexcept {
    for (std::uint32_t seen = 0;;) {
      round.wait(seen, std::memory_order_acquire);
      ++seen;
      if (stop.load(std::memory_order_relaxed)) return;
      body(context, index, threads);
      finished.fetch_add(1, std::memory_order_release);
      finished.notify_one();
    }
  }

  void start_round() noexcept {
    round.fetch_add(1, std::memory_order_release);
    round.notify_all();
  }
};

Executor::Executor(unsigned threads) : impl_(std::make_unique<Impl>()) {
  impl_->threads = threads;
  for (unsigned i = 1; i < threads; ++i) impl_->workers.emplace_back(&Impl::work, impl_.get(), i);
}

Executor::~Executor() {
  impl_->stop.store(true, std::memory_order_relaxed);
  impl_->start_round();
  for (std::thread& worker : impl_->workers) worker.join();
}

void Executor::run(Body body, void* context) noexcept {
  impl_->body = body;
  impl_->context = context;
  impl_->finished.store(0, std::memory_order_relaxed);
  impl_->start_round();
  body(context, 0, impl_->threads);
  const std::uint32_t workers = impl_->threads - 1;
  for (std::uint32_t done = impl_->finished.load(std::memory_order_acquire); done != workers;
       done = impl_->finished.load(std::memory_order_acquire)) {
    impl_->finished.wait(done, std::memory_order_acquire);
  }
}

}  // namespace tandem::cpu
