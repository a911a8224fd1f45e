// Warp functions, conversions and tile products of the emulation, against plain arithmetic.

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "backends/cuda/launch.cuh"
#include "tests/backends/cuda/emulated.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceMemory;
using cuda::launch;
using cuda::Stream;

struct WarpResults {
  std::uint32_t shuffled, swapped, votes, any, all, sum;
  float largest;
};

__global__ void use_warp(WarpResults* out) {
  const unsigned lane = cuda::lane_id();
  const unsigned thread = threadIdx.x;
  WarpResults& mine = out[thread];
  mine.shuffled = cuda::shuffle(thread, (lane + 5) % 32);
  mine.swapped = cuda::shuffle_xor(thread, 12u);
  mine.votes = cuda::votes_of_lanes(lane % 3 == 0);
  cuda::sync_warp();
  mine.any = cuda::any_lane(thread == 40) ? 1 : 0;
  mine.all = cuda::all_lanes(thread < 40) ? 1 : 0;
  mine.sum = cuda::warp_sum(thread);
  mine.largest = cuda::warp_max(-static_cast<float>(thread));
}

TEST(WarpFunctions, GiveWhatPtxSaysForEverySeed) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    Device device = cuda::emulation::make_device({.seed = seed});
    Stream stream(device);
    const DeviceMemory out(device, 96 * sizeof(WarpResults));
    launch(stream, {"use_warp", 1, 96}, use_warp, as<WarpResults>(out));
    const auto results = download<WarpResults>(device, stream, out, 96);
    for (std::uint32_t thread = 0; thread < 96; ++thread) {
      const std::uint32_t lane = thread % 32, first = thread - lane;
      EXPECT_EQ(results[thread].shuffled, first + (lane + 5) % 32);
      EXPECT_EQ(results[thread].swapped, first + (lane ^ 12));
      EXPECT_EQ(results[thread].votes, 0b01001001001001001001001001001001u);
      EXPECT_EQ(results[thread].any, first == 32 ? 1u : 0u);
      EXPECT_EQ(results[thread].all, first == 0 ? 1u : 0u);
      EXPECT_EQ(results[thread].sum, 32 * first + 496);
      EXPECT_EQ(results[thread].largest, -static_cast<float>(first));
    }
  }
}

TEST(SelectBytes, TakesThemOrTheirSignsAsPtxSays) {
  constexpr std::uint32_t kLow = 0x83828100u, kHigh = 0x07068584u;  // bytes 0, 1, ... with some signs
  EXPECT_EQ(cuda::select_bytes(kLow, kHigh, 0x3210), kLow);
  EXPECT_EQ(cuda::select_bytes(kLow, kHigh, 0x7654), kHigh);
  EXPECT_EQ(cuda::select_bytes(kLow, kHigh, 0x0725), 0x00078285u);
  EXPECT_EQ(cuda::select_bytes(kLow, kHigh, 0xfd98), 0x00ffff00u) << "signs of bytes 0, 1, 5 and 7";
  EXPECT_EQ(cuda::select_bytes(kLow, kHigh, 0xffff3210), kLow) << "nothing above is looked at";
}

TEST(Dot4, AddsProductsOfBytes) {
  std::mt19937 random(1);
  for (int i = 0; i < 1000; ++i) {
    const auto a = static_cast<std::uint32_t>(random());
    const auto b = static_cast<std::int32_t>(random());
    std::int8_t signed_a[4], signed_b[4];
    std::uint8_t unsigned_a[4];
    std::memcpy(signed_a, &a, 4);
    std::memcpy(unsigned_a, &a, 4);
    std::memcpy(signed_b, &b, 4);
    std::int32_t with_signed = 9, with_unsigned = 9;
    for (int k = 0; k < 4; ++k) {
      with_signed += signed_a[k] * signed_b[k];
      with_unsigned += unsigned_a[k] * signed_b[k];
    }
    EXPECT_EQ(cuda::dot4(static_cast<std::int32_t>(a), b, 9), with_signed);
    EXPECT_EQ(cuda::dot4(a, b, 9), with_unsigned);
  }
}

/// Value of a half from the definition of the format.
double half_value(std::uint32_t bits) {
  const int exponent = static_cast<int>(bits >> 10 & 31);
  const double mantissa = bits & 1023;
  const double magnitude =
      exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

TEST(Half, EveryFiniteOneConvertsThereAndBack) {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    const cuda::Half half{static_cast<std::uint16_t>(bits)};
    if ((bits & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(cuda::to_float(half), half_value(bits)) << bits;
    ASSERT_EQ(cuda::to_half(cuda::to_float(half)).bits, bits) << bits;
  }
}

TEST(Half, RoundsToTheNearestTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7bff; ++bits) {
    const auto here = static_cast<float>(half_value(bits));
    const auto next = static_cast<float>(half_value(bits + 1));
    const float middle = here / 2 + next / 2;
    ASSERT_EQ(cuda::to_half(middle).bits, bits + bits % 2) << bits;
    ASSERT_EQ(cuda::to_half(std::nextafter(middle, 0.0f)).bits, bits) << bits;
    ASSERT_EQ(cuda::to_half(-std::nextafter(middle, 1e9f)).bits, (bits + 1) | 0x8000) << bits;
  }
}

TEST(Half, LargeNumbersStayFinite) {
  EXPECT_EQ(cuda::to_half(1e30f).bits, 0x7bff);
  EXPECT_EQ(cuda::to_half(-65519.0f).bits, 0xfbff);
  EXPECT_EQ(cuda::to_half(-INFINITY).bits, 0xfbff);
  EXPECT_TRUE(std::isnan(cuda::to_float(cuda::to_half(NAN))));
  EXPECT_TRUE(std::isinf(cuda::to_float(cuda::Half{0x7c00})));
  EXPECT_TRUE(std::isnan(cuda::to_float(cuda::Half{0x7c01})));
}

TEST(BFloat16, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(cuda::to_float(cuda::BFloat16{0x3fc0}), 1.5f);
  EXPECT_EQ(cuda::to_float(cuda::BFloat16{0xc2f7}), -123.5f);
}

// Tile products: every lane gathers its fragments from whole matrices by the tables of the PTX ISA ("Matrix
// Fragments for mma.m16n8k16 with floating point type" and "... m16n8k32"), written out element by element.

template <bool kHalf>
__global__ void multiply_16_bit(const std::uint16_t* a, const std::uint16_t* b, float* d) {
  const unsigned lane = threadIdx.x, group = lane / 4, in_group = lane % 4;
  std::uint16_t a_parts[8], b_parts[4];
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned row = (i < 2 || (i >= 4 && i < 6)) ? group : group + 8;
    const unsigned column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    a_parts[i] = a[row * 16 + column];
  }
  for (unsigned i = 0; i < 4; ++i) {
    const unsigned row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
    b_parts[i] = b[row * 8 + group];
  }
  std::uint32_t a_fragment[4], b_fragment[2];
  float d_fragment[4];
  std::memcpy(a_fragment, a_parts, sizeof a_fragment);
  std::memcpy(b_fragment, b_parts, sizeof b_fragment);
  for (unsigned i = 0; i < 4; ++i) {
    d_fragment[i] = d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
  }
  if (kHalf) {
    cuda::multiply_tiles_f16(d_fragment, a_fragment, b_fragment);
  } else {
    cuda::multiply_tiles_bf16(d_fragment, a_fragment, b_fragment);
  }
  for (unsigned i = 0; i < 4; ++i) {
    d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = d_fragment[i];
  }
}

/// Half the depth: "Matrix Fragments for mma.m16n8k16" with integer type.
__global__ void multiply_8_bit_half(const std::int8_t* a, const std::int8_t* b, std::int32_t* d) {
  const unsigned lane = threadIdx.x, group = lane / 4, in_group = lane % 4;
  std::int8_t a_parts[8], b_parts[4];
  for (unsigned i = 0; i < 8; ++i) {
    a_parts[i] = a[(i < 4 ? group : group + 8) * 16 + in_group * 4 + (i & 3)];
  }
  for (unsigned i = 0; i < 4; ++i) b_parts[i] = b[(in_group * 4 + i) * 8 + group];
  std::uint32_t a_fragment[2], b_fragment;
  std::int32_t d_fragment[4];
  std::memcpy(a_fragment, a_parts, sizeof a_fragment);
  std::memcpy(&b_fragment, b_parts, sizeof b_fragment);
  for (unsigned i = 0; i < 4; ++i) {
    d_fragment[i] = d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
  }
  cuda::multiply_half_tiles_s8(d_fragment, a_fragment, b_fragment);
  for (unsigned i = 0; i < 4; ++i) {
    d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = d_fragment[i];
  }
}

__global__ void multiply_8_bit(const std::int8_t* a, const std::int8_t* b, std::int32_t* d) {
  const unsigned lane = threadIdx.x, group = lane / 4, in_group = lane % 4;
  std::int8_t a_parts[16], b_parts[8];
  for (unsigned i = 0; i < 16; ++i) {
    const unsigned row = (i < 4 || (i >= 8 && i < 12)) ? group : group + 8;
    const unsigned column = in_group * 4 + (i & 3) + (i >= 8 ? 16 : 0);
    a_parts[i] = a[row * 32 + column];
  }
  for (unsigned i = 0; i < 8; ++i) {
    const unsigned row = in_group * 4 + (i & 3) + (i >= 4 ? 16 : 0);
    b_parts[i] = b[row * 8 + group];
  }
  std::uint32_t a_fragment[4], b_fragment[2];
  std::int32_t d_fragment[4];
  std::memcpy(a_fragment, a_parts, sizeof a_fragment);
  std::memcpy(b_fragment, b_parts, sizeof b_fragment);
  for (unsigned i = 0; i < 4; ++i) {
    d_fragment[i] = d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)];
  }
  cuda::multiply_tiles_s8(d_fragment, a_fragment, b_fragment);
  for (unsigned i = 0; i < 4; ++i) {
    d[(i < 2 ? group : group + 8) * 8 + in_group * 2 + (i & 1)] = d_fragment[i];
  }
}

/// d += a b on the device and by three loops.
template <class In, class Out, class Value>
void expect_product(std::uint64_t seed, std::uint32_t depth, void (*kernel)(const In*, const In*, Out*),
                    const std::vector<In>& a, const std::vector<In>& b, const std::vector<Out>& d,
                    Value value) {
  Device device = cuda::emulation::make_device({.seed = seed});
  Stream stream(device);
  const auto on_device_a = upload<In>(device, stream, a);
  const auto on_device_b = upload<In>(device, stream, b);
  const auto on_device_d = upload<Out>(device, stream, d);
  launch(stream, {"multiply", 1, 32}, kernel, as<const In>(on_device_a), as<const In>(on_device_b),
         as<Out>(on_device_d));
  const auto product = download<Out>(device, stream, on_device_d, 128);
  for (std::uint32_t row = 0; row < 16; ++row) {
    for (std::uint32_t column = 0; column < 8; ++column) {
      double sum = d[row * 8 + column];
      for (std::uint32_t k = 0; k < depth; ++k) sum += value(a[row * depth + k]) * value(b[k * 8 + column]);
      EXPECT_EQ(product[row * 8 + column], static_cast<Out>(sum)) << row << "," << column;
    }
  }
}

/// Small whole numbers, exact in every type.
template <class T>
std::vector<T> numbers(std::size_t n, std::uint32_t seed, const std::function<T(int)>& make) {
  std::mt19937 random(seed);
  std::vector<T> values(n);
  for (T& value : values) value = make(static_cast<int>(random() % 61) - 30);
  return values;
}

TEST(TileProduct, HalvesAsThreeLoops) {
  const auto make = [](int number) { return cuda::to_half(static_cast<float>(number)).bits; };
  const auto value = [](std::uint16_t bits) { return static_cast<double>(cuda::to_float(cuda::Half{bits})); };
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    expect_product<std::uint16_t, float>(
        seed, 16, multiply_16_bit<true>, numbers<std::uint16_t>(256, 1, make),
        numbers<std::uint16_t>(128, 2, make),
        numbers<float>(128, 3, [](int n) { return static_cast<float>(n); }), value);
  }
}

/// Element (0, 0) of d + a b, where the first row of `a` times the first column of `b` are `products`.
float first_element(float d, const std::vector<float>& products) {
  Device device = cuda::emulation::make_device({});
  Stream stream(device);
  std::vector<std::uint16_t> a(256), b(128);
  std::vector<float> sums(128);
  for (std::size_t k = 0; k < products.size(); ++k) {
    a[k] = cuda::to_half(products[k]).bits;
    b[8 * k] = cuda::to_half(1.0f).bits;
  }
  sums[0] = d;
  const auto on_device_a = upload<std::uint16_t>(device, stream, a);
  const auto on_device_b = upload<std::uint16_t>(device, stream, b);
  const auto on_device_d = upload<float>(device, stream, sums);
  launch(stream, {"multiply", 1, 32}, multiply_16_bit<true>, as<const std::uint16_t>(on_device_a),
         as<const std::uint16_t>(on_device_b), as<float>(on_device_d));
  return download<float>(device, stream, on_device_d, 1)[0];
}

TEST(TileProduct, CutsWhatIsBelowThePlacesOfTheLargest) {
  constexpr float kMillions = 8388608.0f;  // 2^23: halves are the place below its last one
  EXPECT_EQ(first_element(kMillions, {0.25f, 0.25f, 0.25f, 0.25f}), kMillions);
  EXPECT_EQ(first_element(kMillions, {0.5f, 0.5f}), kMillions + 1);
  EXPECT_EQ(first_element(kMillions, {1.75f, 0.25f}), kMillions + 1)
      << "1.5 of 1.75, none of 0.25, then 1 of it";
  EXPECT_EQ(first_element(-kMillions, {-1.75f}), -kMillions - 1) << "toward zero";
  EXPECT_EQ(first_element(2 * kMillions - 1, {1, 1, 1}), 2 * kMillions + 2)
      << "a sum is not cut before its end";
  EXPECT_EQ(first_element(2 * kMillions - 1, {2, 2}), 2 * kMillions + 2) << "of 2^24 + 3";
  EXPECT_EQ(first_element(INFINITY, {1.0f}), INFINITY);
}

TEST(TileProduct, BFloat16sAsThreeLoops) {
  const auto make = [](int number) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(static_cast<float>(number)) >> 16);
  };
  const auto value = [](std::uint16_t bits) {
    return static_cast<double>(cuda::to_float(cuda::BFloat16{bits}));
  };
  expect_product<std::uint16_t, float>(1, 16, multiply_16_bit<false>, numbers<std::uint16_t>(256, 1, make),
                                       numbers<std::uint16_t>(128, 2, make),
                                       numbers<float>(128, 3, [](int n) { return static_cast<float>(n); }),
                                       value);
}

TEST(TileProduct, BytesAsThreeLoops) {
  const auto make = [](int number) { return static_cast<std::int8_t>(4 * number); };
  const auto value = [](std::int8_t number) { return static_cast<double>(number); };
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    expect_product<std::int8_t, std::int32_t>(seed, 32, multiply_8_bit, numbers<std::int8_t>(512, 1, make),
                                              numbers<std::int8_t>(256, 2, make),
                                              numbers<std::int32_t>(128, 3, [](int n) { return n; }), value);
    expect_product<std::int8_t, std::int32_t>(
        seed, 16, multiply_8_bit_half, numbers<std::int8_t>(256, 1, make), numbers<std::int8_t>(128, 2, make),
        numbers<std::int32_t>(128, 3, [](int n) { return n; }), value);
  }
}

}  // namespace
}  // namespace tandem::cuda_test
