#pragma once

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "backends/cuda/runtime.h"

namespace tandem::cuda {

/// Pinned memory through which weights are streamed to the device.  While one half is copied the other is
/// filled, by several threads: one of them moves fewer bytes a second than PCIe.
class UploadBuffer {
 public:
  UploadBuffer(std::byte* pinned, std::uint64_t bytes);
  UploadBuffer(const UploadBuffer&) = delete;
  UploadBuffer& operator=(const UploadBuffer&) = delete;
  ~UploadBuffer();

  /// What one copy can carry.
  [[nodiscard]] std::uint64_t half_bytes() const noexcept { return half_bytes_; }

  /// Fills one half with `n` items of `item_bytes` bytes, no more than it holds, and puts their copy to `to`
  /// into `stream`.  `fill(first, n, pinned)` writes `n` of the items from number `first` on to `pinned`; it
  /// is called on several threads, and no more once this returns.
  using Fill = std::function<void(std::uint64_t first, std::uint64_t n, std::byte* pinned)>;
  void send(Stream& stream, std::byte* to, std::uint64_t n, std::uint64_t item_bytes, const Fill& fill);

 private:
  struct Half {
    std::byte* pinned = nullptr;
    Event copied;
  };

  void work(unsigned part);
  void fill_together(const std::function<void(unsigned part)>& fill_part);

  std::uint64_t half_bytes_;
  Half halves_[2];
  unsigned next_ = 0;

  std::mutex mutex_;  ///< guards the three below
  std::condition_variable changed_;
  const std::function<void(unsigned part)>* fill_part_ = nullptr;  ///< what the threads are to do; null: end
  std::uint64_t round_ = 0;                                        ///< how often they were told
  unsigned busy_ = 0;                                              ///< threads that are not done with it
  std::vector<std::thread> threads_;                               ///< all parts but 0, which is the caller's
};

}  // namespace tandem::cuda
