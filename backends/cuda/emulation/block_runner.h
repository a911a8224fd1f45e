#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "backends/cuda/emulation/device_code.h"
#include "backends/cuda/emulation/guarded_bytes.h"
#include "backends/cuda/emulation/random.h"

namespace tandem::cuda::emulation {

/// A kernel did what no kernel may do.
class KernelFault : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Shared memory that a block may have on compute capabilities 8.6, 8.9 and 12.0, the least of those that
/// this is for: its variables and its dynamic memory together (CUDA C++ Programming Guide, "Technical
/// Specifications per Compute Capability").
constexpr std::size_t kMaxSharedBytes = std::size_t{99} << 10;

/// What a launch consists of.
struct Grid {
  const char* name = nullptr;
  dim3 blocks;
  dim3 threads;  ///< of a block
  std::size_t shared_bytes = 0;
  std::function<void()> kernel;  ///< what every thread does
};

/// Runs blocks on the OS thread that calls it, one after another, their threads as fibres.  In every round
/// each thread that can go on does so until it waits or ends, in an order of the seed's choice.
class BlockRunner {
 public:
  BlockRunner();
  ~BlockRunner();

  /// Block number `block`, x running fastest.  Throws KernelFault if threads wait for each other in vain,
  /// come to a barrier or a warp collective in different places, write beyond shared memory or have more of
  /// it than kMaxSharedBytes.
  void run(const Grid& grid, std::uint64_t block, std::uint64_t seed);

  void block_barrier(Place place);
  void named_barrier(unsigned id, unsigned threads, bool waits, Place place);
  void warp_collective(std::uint32_t mask, WarpFunction compute, const void* in, void* out, Place place);
  void check_aligned(const void* address, std::size_t bytes, Place place);
  void check_not_null(const void* address, Place place);
  [[nodiscard]] unsigned lane() const noexcept;
  [[nodiscard]] std::byte* shared_memory() const noexcept { return shared_.data(); }
  std::byte* block_variable(const void* key, std::size_t bytes);

 private:
  struct Thread;
  struct Barrier;
  struct Warp;
  struct Variable;
  struct Abandoned {};

  void prepare(const Grid& grid);
  std::byte* make_variable(std::size_t bytes);
  void count_variable(Variable& variable);
  [[nodiscard]] bool intact() const noexcept;
  void start(unsigned thread) noexcept;
  bool run_round(const Order& order) noexcept;
  void abandon() noexcept;
  [[noreturn]] void fault(const std::string& what);
  void meet(Barrier& barrier, unsigned expected, bool waits, Place place);
  void wait_as(const char* what, Place place);
  void release(Barrier& barrier) noexcept;
  void finish(Warp& warp) noexcept;
  [[nodiscard]] std::string waiting_in_vain() const;
  void end(Thread& thread) noexcept;
  static void thread_main(void* thread);

  std::vector<std::unique_ptr<Thread>> owned_threads_;
  std::vector<Thread*> thread_list_;
  std::unique_ptr<Barrier[]> owned_barriers_;
  std::unique_ptr<Warp[]> owned_warps_;
  std::unique_ptr<Variable[]> owned_variables_;  ///< of all kernels so far
  std::vector<GuardedBytes> variable_memory_;
  // What fibres touch is reached by plain pointers (sanitizers.h, TANDEM_UNSEEN).
  Thread** threads_ = nullptr;
  Barrier* barriers_ = nullptr;  ///< 0 is the block's
  Warp* warps_ = nullptr;
  Variable* variables_ = nullptr;
  unsigned n_variables_ = 0;
  std::uint64_t blocks_ = 0;         ///< that were run or begun
  std::size_t variables_bytes_ = 0;  ///< of the block's variables so far
  Thread* current_ = nullptr;
  const Grid* grid_ = nullptr;
  unsigned n_threads_ = 0;
  unsigned ended_ = 0;
  bool abandoned_ = false;
  std::string fault_;
  GuardedBytes shared_;
  char started_ = 0;  ///< addresses of what ThreadSanitizer is told
  char finished_ = 0;
  char made_variable_ = 0;
};

}  // namespace tandem::cuda::emulation
