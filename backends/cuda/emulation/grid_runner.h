#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "backends/cuda/emulation/block_runner.h"

namespace tandem::cuda::emulation {

/// Runs the blocks of a launch on OS threads of its own, in an order of the seed's choice.
class GridRunner {
 public:
  explicit GridRunner(unsigned threads);
  GridRunner(const GridRunner&) = delete;
  GridRunner& operator=(const GridRunner&) = delete;
  ~GridRunner();

  /// Returns when all blocks are done.  Throws KernelFault if one of them failed; those that had not started
  /// then never do.
  void run(const Grid& grid, std::uint64_t seed);

 private:
  struct Job {
    const Grid& grid;
    std::uint64_t seed;
    std::uint64_t blocks;
    Order order;
    std::atomic<std::uint64_t> next{0};
    std::exception_ptr fault{};
  };

  void work();
  void run_blocks(BlockRunner& runner, Job& job);

  std::mutex mutex_;
  std::condition_variable changed_;
  Job* job_ = nullptr;
  std::uint64_t job_number_ = 0;
  std::size_t busy_ = 0;
  bool stop_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace tandem::cuda::emulation
