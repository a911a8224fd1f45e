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

  /// What a chunk holds.
  [[nodiscard]] std::uint64_t chunk_bytes() const noexcept { return chunk_bytes_; }

  /// What is to be copied from a chunk.
  struct Copy {
    std::byte* to = nullptr;
    std::uint64_t at = 0;  ///< in the chunk
    std::uint64_t bytes = 0;
  };

  /// Has `fill(pinned)` fill a chunk, and puts `copies` from there into `stream`.  Any number of threads may
  /// send at once; what they send arrives in no particular order.  Throws what `fill` throws.
  using Fill = std::function<void(std::byte* pinned)>;
  void send(Stream& stream, const std::vector<Copy>& copies, const Fill& fill);

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
