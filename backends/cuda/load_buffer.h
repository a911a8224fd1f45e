#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <vector>

#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// Pinned memory through which weights are loaded, in chunks: while some are copied to the device, each of
/// the others is filled by one of the threads that send.
class LoadBuffer {
 public:
  LoadBuffer(std::byte* pinned, std::uint64_t bytes);

  /// What one copy can carry.
  [[nodiscard]] std::uint64_t chunk_bytes() const noexcept { return chunk_bytes_; }

  /// Has `fill(pinned)` write `bytes` bytes, no more than a chunk holds, and puts their copy to `to` into
  /// `stream`.  Any number of threads may send at once; what they send arrives in no particular order.
  using Fill = std::function<void(std::byte* pinned)>;
  void send(Stream& stream, std::byte* to, std::uint64_t bytes, const Fill& fill);

 private:
  struct Chunk {
    std::byte* pinned = nullptr;
    Event copied;
    bool held = false;
  };
  /// The next chunk, which is this thread's while it exists.
  class Held;

  std::uint64_t chunk_bytes_ = 0;
  std::mutex chunks_mutex_;  ///< guards next_, and who holds a chunk
  std::condition_variable let_go_;
  std::vector<Chunk> chunks_;
  std::size_t next_ = 0;
  std::mutex stream_mutex_;
};

}  // namespace tandem::cuda
