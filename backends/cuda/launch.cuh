#pragma once

// The one way to start a kernel.

#include <cstddef>
#include <type_traits>

#include "backends/cuda/intrinsics.cuh"
#include "backends/cuda/runtime.h"

#if !defined(__CUDACC__)
#include "backends/cuda/emulation/enqueue.h"
#include "backends/cuda/emulation/inside.h"
#endif

namespace tandem::cuda {

/// The shape of a launch and a name for it, which errors and traces tell.
struct Launch {
  const char* name;
  dim3 blocks;
  dim3 threads;                  ///< of a block; at most 1024
  std::size_t shared_bytes = 0;  ///< dynamic shared memory of a block
};

#if defined(__CUDACC__)
/// `launch` without types (runtime.cu); `arguments` ends with a null pointer.
void start_kernel(Stream& stream, const Launch& shape, const void* kernel, const void* const* arguments);
#endif

/// Puts a kernel into a stream.  Arguments are copied now; what they point to is read when it runs.  Throws
/// DeviceError if the launch is refused.
template <class... Parameters>
void launch(Stream& stream, const Launch& shape, void (*kernel)(Parameters...),
            const std::common_type_t<Parameters>&... arguments) {
#if defined(__CUDACC__)
  const void* pointers[] = {&arguments..., nullptr};
  start_kernel(stream, shape, reinterpret_cast<const void*>(kernel), pointers);
#else
  const emulation::Inside inside;
  (emulation::check_argument(stream, shape.name, &arguments, sizeof arguments), ...);
  emulation::enqueue(stream, shape.name, {shape.blocks, shape.threads, shape.shared_bytes},
                     [kernel, arguments...] { kernel(arguments...); });
#endif
}

/// ceil(n / of), the number of blocks or steps that cover `n`.
template <class T>
constexpr T divide_up(T n, T of) {
  return (n + of - 1) / of;
}

}  // namespace tandem::cuda
