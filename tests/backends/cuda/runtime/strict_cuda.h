#pragma once

// A CUDA runtime and driver for machines without a GPU, to run runtime.cu on.  Copies are made, kernels do
// nothing; what it is there for are the rules that CUDA's documentation has for the calls themselves: which
// ones a capture forbids, whose context a stream and an event belong to, what must be gone before what. Calls
// fail as CUDA's would, and what it would let pass, but nobody should do, is a complaint.

#include <cstddef>
#include <string>
#include <vector>

namespace tandem::cuda_test {

constexpr std::size_t kContextBytes = std::size_t{300} << 20;  ///< that the driver takes for a process
constexpr unsigned kMultiprocessors = 132;

/// What the machine has.
struct StrictCuda {
  int driver_version = 99000;  ///< as cudaDriverGetVersion; 0: no driver
  int gpus = 2;                ///< each of 16 GiB; programs have no code for the second
  bool has_green_contexts = true;
};
StrictCuda& strict_cuda();

/// What happened so far, and what is alive.
struct StrictCounts {
  std::size_t launches = 0;
  std::size_t launches_on_part = 0;  ///< of them in green contexts
  std::size_t graph_launches = 0;
  std::size_t events = 0;
  std::size_t streams = 0;
  std::size_t graphs = 0;
  std::size_t green_contexts = 0;
  std::size_t allocations = 0;
};
StrictCounts strict_counts();

/// What the program did since the last call that works by luck.
std::vector<std::string> take_complaints();

}  // namespace tandem::cuda_test
