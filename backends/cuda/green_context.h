#pragma once

#include <cstdint>
#include <cuda_runtime_api.h>
#include <mutex>

struct CUgreenCtx_st;

namespace tandem::cuda {

/// A part of a GPU's multiprocessors (a green context of the driver).  Work of its streams runs on that part
/// alone; memory and the runtime's other calls are those of the whole GPU.
class GreenContext {
 public:
  /// At least `multiprocessors` of GPU `number`, as few as it can set apart; its context must be there.
  /// Throws DeviceError where driver or GPU cannot do that.
  GreenContext(int number, std::uint32_t multiprocessors);
  ~GreenContext();
  GreenContext(const GreenContext&) = delete;
  GreenContext& operator=(const GreenContext&) = delete;

  [[nodiscard]] cudaStream_t make_stream() const;
  /// An event without a time, for its streams: the driver records one only in streams of the context that it
  /// was made in (cuEventRecord).
  [[nodiscard]] cudaEvent_t make_event() const;
  [[nodiscard]] std::uint32_t multiprocessors() const noexcept { return multiprocessors_; }

 private:
  CUgreenCtx_st* context_ = nullptr;
  mutable std::mutex current_;  ///< it can be current to one thread at a time (cuGreenCtxCreate)
  std::uint32_t multiprocessors_ = 0;
};

}  // namespace tandem::cuda
