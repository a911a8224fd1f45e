#pragma once

#include <cstddef>
#include <cstdint>

#include "backends/cuda/runtime.h"

namespace tandem::cuda::emulation {

/// Device memory that a graph takes for each of its operations, unless Options say otherwise.
constexpr std::size_t kGraphOperationBytes = 1024;

/// What the emulated device is like.
struct Options {
  std::size_t memory_bytes = std::size_t{1} << 30;
  std::size_t driver_bytes = 0;  ///< of them that a driver would take
  std::uint64_t seed = 0;        ///< decides the order of threads and blocks, and when work of streams runs
  unsigned threads = 2;          ///< OS threads that run blocks
  std::size_t graph_operation_bytes = kGraphOperationBytes;
  std::uint64_t failing_call =
      0;                ///< this allocation, copy, capture or launch fails, counted from 1; 0 = none
  bool guarded = true;  ///< false: the host may touch all memory at any time, and copies take no longer than
                        ///< they must
};

/// A device that runs kernels on the CPU, to find mistakes in them and in their callers.  Work of streams
/// runs when something waits for it or, by the seed, earlier; until then nothing has happened.  Outside of
/// work, device memory is unreadable to the host, pinned memory that a copy still reads is read-only and
/// pinned memory that a copy still writes is unreadable (whole pages of it): a forbidden access ends the
/// process with a message.
Device make_device(const Options& options);

/// Allocations, copies (fills too), captures and launches that were asked for so far.
std::uint64_t calls(const Device& device);

/// What a device was asked to do so far.
struct Counts {
  std::uint64_t calls = 0;  ///< those that can fail
  std::uint64_t allocations = 0;
  std::uint64_t captures = 0;
  std::uint64_t operations = 0;  ///< kernels, copies and fills, those in graphs not counted
  std::uint64_t graph_launches = 0;
  std::uint64_t synchronisations = 0;
};
Counts counts(Device::State& device);

/// The call that fails in place of Options::failing_call, counted from 1 from now on; 0 = none.
void fail_call(Device::State& device, std::uint64_t call);

}  // namespace tandem::cuda::emulation
