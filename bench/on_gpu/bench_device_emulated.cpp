#include "backends/cuda/emulation/device.h"
#include "bench/on_gpu/bench_device.h"

namespace tandem::bench {

cuda::Device open_bench_device(std::uint32_t multiprocessors) {
  if (multiprocessors != 0) throw cuda::DeviceError("part of a GPU: an emulated device has none");
  return cuda::emulation::make_device(
      {.memory_bytes = std::size_t{256} << 20, .driver_bytes = std::size_t{6} << 20});
}

}  // namespace tandem::bench
