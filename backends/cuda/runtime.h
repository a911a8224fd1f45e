#pragma once

// What the host asks of a CUDA device.  C++17; one header with two bodies: emulation/runtime.cpp where there
// is no toolkit, the CUDA runtime where there is.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>

namespace tandem::cuda {

/// A call to the device failed; what() says which and why.  After a failed kernel every further call fails.
class DeviceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

struct MemoryInfo {
  std::size_t free_bytes = 0;
  std::size_t total_bytes = 0;
  std::size_t driver_bytes = 0;  ///< taken for this process when the device was opened: context, kernels;
                                 ///< 0 if the driver does not tell
};

/// What a device is.
struct DeviceProperties {
  std::string name;
  std::uint32_t compute_capability = 0;  ///< 86 for 8.6
  std::uint32_t multiprocessors = 0;     ///< that work may run on
  std::size_t total_bytes = 0;
  std::size_t cache_bytes = 0;  ///< L2
};

/// One device.  Whatever was made from it must be gone before it is.
class Device {
 public:
  struct State;

  explicit Device(std::unique_ptr<State> state) noexcept;
  Device(Device&&) noexcept;
  Device& operator=(Device&&) noexcept;
  ~Device();

  [[nodiscard]] MemoryInfo memory() const;
  [[nodiscard]] DeviceProperties properties() const;

  /// Waits for all work of all streams.  Throws DeviceError if some of it failed.
  void synchronise();

  [[nodiscard]] State& state() const noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

/// Memory that kernels and copies may touch, aligned to 256 bytes; freed with the object, after all work.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  /// Throws DeviceError if the device has not that much left.
  DeviceMemory(Device& device, std::size_t bytes);
  DeviceMemory(DeviceMemory&& other) noexcept;
  DeviceMemory& operator=(DeviceMemory&& other) noexcept;
  ~DeviceMemory();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  Device::State* device_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// Host memory that stays in place and that asynchronous copies may touch, zeroed; freed with the object,
/// after all work.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  /// Throws DeviceError if there is not that much.
  PinnedMemory(Device& device, std::size_t bytes);
  PinnedMemory(PinnedMemory&& other) noexcept;
  PinnedMemory& operator=(PinnedMemory&& other) noexcept;
  ~PinnedMemory();

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  Device::State* device_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// A point in a stream's work.  Copies mean the same point.
class Event {
 public:
  struct State;

  /// A point that is passed already.
  Event() = default;
  explicit Event(std::shared_ptr<State> state) noexcept : state_(std::move(state)) {}

  /// Waits until the stream has passed it.  Throws DeviceError if the work before it failed.
  void synchronise() const;

  [[nodiscard]] const std::shared_ptr<State>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<State> state_;
};

/// Work recorded once, to be launched as a whole any number of times.  What it points to must outlive it.
class Graph {
 public:
  struct State;

  Graph() = default;
  explicit Graph(std::shared_ptr<const State> state) noexcept : state_(std::move(state)) {}

  [[nodiscard]] bool empty() const noexcept { return state_ == nullptr; }
  /// Device memory that it takes.
  [[nodiscard]] std::size_t bytes() const noexcept;
  [[nodiscard]] const std::shared_ptr<const State>& state() const noexcept { return state_; }

 private:
  std::shared_ptr<const State> state_;
};

/// Work of a device in order.  Calls return before the work is done; host memory of copies is pinned, and not
/// touched in between.  They may come from any thread, one at a time.
class Stream {
 public:
  struct State;

  explicit Stream(Device& device);
  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

  void copy_to_device(void* to, const void* from_host, std::size_t bytes);
  void copy_to_host(void* to_host, const void* from, std::size_t bytes);
  void copy_on_device(void* to, const void* from, std::size_t bytes);
  /// Sets `bytes` bytes to `value`.
  void fill(void* to, unsigned char value, std::size_t bytes);

  /// The point after all work so far.
  Event record();
  /// Work from here on starts after `event`.
  void wait(const Event& event);

  /// Records what `enqueue` puts into this stream instead of running it.  Other streams, synchronisation,
  /// allocating and freeing have no place in it.
  Graph capture(const std::function<void()>& enqueue);
  void launch(const Graph& graph);

  /// Waits for all work so far.  Throws DeviceError if some of it failed.
  void synchronise();

  [[nodiscard]] State& state() const noexcept { return *state_; }

 private:
  std::unique_ptr<State> state_;
};

}  // namespace tandem::cuda
