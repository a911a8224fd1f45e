#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backends/cuda/emulation/device.h"
#include "backends/cuda/emulation/grid_runner.h"
#include "backends/cuda/emulation/guarded_bytes.h"
#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// The last piece of work of each stream (by number) that comes before some point.
using Reached = std::map<std::uint64_t, std::uint64_t>;

/// A piece of work: what it does, and the pinned memory that it touches until somebody waited for it.
struct Operation {
  const char* name = nullptr;
  std::function<void(Device::State&)> run;
  const std::byte* pinned = nullptr;
  std::size_t pinned_bytes = 0;
  emulation::Access host_may = emulation::Access::read_write;
};

struct Event::State {
  Device::State& device;
  Reached reached;
  bool passed = false;
};

struct Graph::State {
  Device::State& device;
  std::vector<Operation> operations;
  std::size_t operation_bytes;

  [[nodiscard]] std::size_t bytes() const noexcept { return operations.size() * operation_bytes; }
  ~State();
};

struct Stream::State {
  struct Item {
    std::vector<Operation> operations;
    std::shared_ptr<const Event::State> waits_for;
    std::shared_ptr<Event::State> passes;
  };

  Device::State& device;
  std::uint64_t number = 0;
  std::uint64_t enqueued = 0;  ///< items so far
  Reached reached;             ///< what comes before the next item
  std::deque<Item> items;      ///< not run yet
  bool copying = false;        ///< a thread that does not hold the device meanwhile
  std::unique_ptr<std::vector<Operation>> capturing;
  bool capture_spoilt = false;  ///< by what may not be done meanwhile and cannot throw

  explicit State(Device::State& its_device);
  ~State();
};

/// The emulated device.  Every public function locks it; work runs on the thread of whoever waits.  Copies do
/// not hold it meanwhile where the host may touch all memory at any time: others go on, as beside a GPU's.
struct Device::State {
  explicit State(const emulation::Options& options);

  std::byte* allocate(std::size_t bytes, emulation::MemoryKind kind);
  void free(const std::byte* data) noexcept;
  MemoryInfo memory();
  DeviceProperties properties() const;
  emulation::Counts counts();
  void fail_call(std::uint64_t call);

  /// Throws DeviceError if the range lies in no such memory.
  void check_range(const char* what, const void* from, std::size_t bytes, emulation::MemoryKind kind);
  /// Whether kernels may be told of this address: in device or pinned memory, or at the end of one.
  bool owns(const void* address);
  void add(Stream::State& stream, Operation operation);
  void add(Stream::State& stream, const Graph::State& graph);
  std::shared_ptr<Event::State> record(Stream::State& stream);
  void wait(Stream::State& stream, std::shared_ptr<const Event::State> event);
  void begin_capture(Stream::State& stream);
  std::unique_ptr<Graph::State> end_capture(Stream::State& stream);
  void drop_capture(Stream::State& stream) noexcept;
  void forget(const Graph::State& graph) noexcept;

  void synchronise();
  void synchronise(Stream::State& stream);
  void synchronise(const Event::State& event);

  void open(Stream::State& stream);
  void close(Stream::State& stream) noexcept;

  /// Runs a grid; called by operations only.
  void run_grid(const emulation::Grid& grid);

 private:
  struct PinnedUse {
    std::uint64_t stream;
    std::uint64_t item;
    const std::byte* data;
    std::size_t bytes;
    emulation::Access host_may;
  };

  /// While one exists, kernels and copies may touch everything.
  class Window;

  /// Keeps the host off what unfinished work uses.
  void protect_pinned();
  /// Counts a call; throws DeviceError if it is the one to fail, or if work failed before.
  void begin_call(const char* what);
  void enqueue(Stream::State& stream, Stream::State::Item item);
  bool run_any();
  void run_until(const std::function<bool()>& done);
  void run_item(Stream::State& stream);
  void run(Stream::State& stream, const Operation& operation);
  void run_all() noexcept;
  void forget_uses(const Reached& reached);
  void check_fault() const;
  void check_room(std::size_t bytes) const;
  [[nodiscard]] std::size_t free_bytes() const noexcept {
    return options_.memory_bytes - options_.driver_bytes - used_bytes_;
  }
  void check_not_capturing() const;

  std::mutex mutex_;
  std::condition_variable_any copied_;  ///< one of the streams' copies
  emulation::Options options_;
  emulation::Random random_;
  emulation::GridRunner runner_;
  std::vector<emulation::GuardedBytes> device_memory_;
  std::vector<emulation::GuardedBytes> pinned_memory_;
  std::vector<PinnedUse> uses_;
  std::vector<Stream::State*> streams_;
  std::uint64_t streams_opened_ = 0;
  std::size_t used_bytes_ = 0;
  emulation::Counts counts_;
  std::string fault_;
};

}  // namespace tandem::cuda
