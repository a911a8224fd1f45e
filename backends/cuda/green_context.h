#pragma once

#include <cstdint>
#include <cuda_runtime_api.h>

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
  [[nodiscard]] std::uint32_t multiprocessors() const noexcept { return multiprocessors_; }

 private:
  CUgreenCtx_st* context_ = nullptr;
  std::uint32_t multiprocessors_ = 0;
};

}  // namespace tandem::cuda
