#include "backends/cuda/emulation/grid_runner.h"

#include "backends/cuda/emulation/inside.h"

namespace tandem::cuda::emulation {

GridRunner::GridRunner(unsigned threads) {
  for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this] { work(); });
}

GridRunner::~GridRunner() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void GridRunner::run(const Grid& grid, std::uint64_t seed) {
  const std::uint64_t blocks = std::uint64_t{grid.blocks.x} * grid.blocks.y * grid.blocks.z;
  Random random(seed);
  Job job{grid, seed, blocks, Order(blocks, random)};
  std::unique_lock lock(mutex_);
  job_ = &job;
  ++job_number_;
  busy_ = threads_.size();
  changed_.notify_all();
  changed_.wait(lock, [this] { return busy_ == 0; });
  job_ = nullptr;
  if (job.fault) std::rethrow_exception(job.fault);
}

void GridRunner::work() {
  const Inside inside;
  BlockRunner runner;
  std::uint64_t done_job = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || job_number_ != done_job; });
    if (stop_) return;
    done_job = job_number_;
    Job& job = *job_;
    lock.unlock();
    run_blocks(runner, job);
    lock.lock();
    if (--busy_ == 0) changed_.notify_all();
  }
}

void GridRunner::run_blocks(BlockRunner& runner, Job& job) {
  for (std::uint64_t i = job.next++; i < job.blocks; i = job.next++) {
    const std::uint64_t block = job.order[i];
    try {
      runner.run(job.grid, block, job.seed ^ block * 0x9e3779b97f4a7c15u);
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!job.fault) job.fault = std::current_exception();
      job.next = job.blocks;
    }
  }
}

}  // namespace tandem::cuda::emulation
