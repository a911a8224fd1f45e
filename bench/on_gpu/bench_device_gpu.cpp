#include "backends/cuda/open_device.h"
#include "bench/on_gpu/bench_device.h"

namespace tandem::bench {

cuda::Device open_bench_device(std::uint32_t multiprocessors) {
  return cuda::open_device(0, multiprocessors);
}

}  // namespace tandem::bench
