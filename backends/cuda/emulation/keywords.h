#pragma once

// The words of CUDA C++ that a host compiler does not know, for kernels compiled without a toolkit.  There is
// no __shared__: what a block's threads share is asked for (intrinsics.cuh) and lies between guards.

// NOLINTBEGIN(bugprone-reserved-identifier)
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// NOLINTEND(bugprone-reserved-identifier)

struct dim3 {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;

  constexpr dim3() = default;
  constexpr dim3(unsigned x_size, unsigned y_size = 1, unsigned z_size = 1)
      : x(x_size), y(y_size), z(z_size) {}
};

struct uint3 {
  unsigned x;
  unsigned y;
  unsigned z;
};

// Set whenever a thread of a block goes on; threads never change their OS thread.
inline thread_local uint3 threadIdx{};
inline thread_local uint3 blockIdx{};
inline thread_local dim3 blockDim{};
inline thread_local dim3 gridDim{};
