#include "backends/cuda/emulation/lanes.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>

namespace tandem::cuda::emulation {
namespace {

struct ShuffleIn {
  std::uint32_t bits;
  unsigned from;
};

void exchange(const void* const (&in)[32], void* const (&out)[32]) {
  for (unsigned i = 0; i < 32; ++i) {
    const unsigned from = static_cast<const ShuffleIn*>(in[i])->from % 32;
    *static_cast<std::uint32_t*>(out[i]) = static_cast<const ShuffleIn*>(in[from])->bits;
  }
}

template <class T>
T sum_of_pair(T a, T b) {
  return a + b;
}
float max_of_pair(float a, float b) {
  return std::fmax(a, b);
}

/// Folds the lanes' values as a tree: neighbours, then neighbouring pairs ...
template <class T, T (*kFold)(T, T)>
void fold(const void* const (&in)[32], void* const (&out)[32]) {
  T values[32];
  for (unsigned i = 0; i < 32; ++i) values[i] = *static_cast<const T*>(in[i]);
  for (unsigned width = 1; width < 32; width *= 2) {
    for (unsigned i = 0; i < 32; i += 2 * width) values[i] = kFold(values[i], values[i + width]);
  }
  for (void* to : out) *static_cast<T*>(to) = values[0];
}

template <class T, T (*kFold)(T, T)>
T folded(T value, Place place) {
  T out{};
  warp_collective(kAllLanes, fold<T, kFold>, &value, &out, place);
  return out;
}

void collect_votes(const void* const (&in)[32], void* const (&out)[32]) {
  std::uint32_t votes = 0;
  for (unsigned i = 0; i < 32; ++i) {
    if (*static_cast<const bool*>(in[i])) votes |= std::uint32_t{1} << i;
  }
  for (void* to : out) *static_cast<std::uint32_t*>(to) = votes;
}

/// A lane's part of d = d + a b (intrinsics.cuh).
template <class Number>
struct Fragments {
  const std::uint32_t* a;
  const std::uint32_t* b;
  Number* d;
};

/// Register and position within it that hold an element of a (16, k), b (k, 8) or d (16, 8), where a register
/// holds `per_register` elements: PTX ISA, "Matrix Fragments for mma.m16n8k16" (of 16-bit and of 8-bit types)
/// and "m16n8k32".
struct Where {
  unsigned lane;
  unsigned reg;
  unsigned part;
};

Where in_a(unsigned row, unsigned column, unsigned per_register) {
  const unsigned half = 4 * per_register;  // columns that registers 0 and 1 cover
  const unsigned in_half = column % half;
  return {row % 8 * 4 + in_half / per_register, row / 8 + 2 * (column / half), in_half % per_register};
}

Where in_b(unsigned row, unsigned column, unsigned per_register) {
  const unsigned half = 4 * per_register;
  const unsigned in_half = row % half;
  return {column * 4 + in_half / per_register, row / half, in_half % per_register};
}

Where in_d(unsigned row, unsigned column) {
  return {row % 8 * 4 + column / 2, row / 8 * 2 + column % 2, 0};
}

/// Integers, exactly.
template <unsigned kDepth>
std::int32_t add_products(std::int32_t sum, const std::int32_t (&products)[kDepth]) {
  for (const std::int32_t product : products) sum += product;
  return sum;
}

constexpr int kBias = 1023;

/// The exponent of a double with its bias; 0 = zero.
int exponent_of(double number) {
  return static_cast<int>(std::bit_cast<std::uint64_t>(number) >> 52 & 0x7ff);
}
double power_of_two(int exponent) {
  return std::bit_cast<double>(static_cast<std::uint64_t>(kBias + exponent) << 52);
}

/// Toward zero.
float truncated(double number) {
  const auto nearest = static_cast<float>(number);
  return std::fabs(nearest) > std::fabs(number) ? std::nextafter(nearest, 0.0f) : nearest;
}

/// Tensor cores do not round to nearest: eight exact products and the sum so far are cut one binary place
/// below the last one of the largest of them, added, and the sum is cut to fp32.  So on Ampere and Ada;
/// Hopper takes sixteen at once and keeps a place more (Fasi, Higham, Mikaitis and Pranesh, "Numerical
/// behavior of NVIDIA tensor cores", PeerJ Computer Science 7:e330; Khattak and Mikaitis, "Accurate Models of
/// NVIDIA Tensor Cores", arXiv 2512.07004).
template <unsigned kDepth>
float add_products(float sum, const double (&products)[kDepth]) {
  constexpr unsigned kAtOnce = 8;
  constexpr int kPlaces = 24, kNoNumber = 0x7ff;
  for (unsigned first = 0; first < kDepth; first += kAtOnce) {
    double addends[kAtOnce + 1] = {sum};
    int largest = exponent_of(sum);
    double plain = sum;
    for (unsigned k = 0; k < kAtOnce; ++k) {
      addends[k + 1] = products[first + k];
      largest = std::max(largest, exponent_of(addends[k + 1]));
      plain += addends[k + 1];
    }
    if (largest == kNoNumber) return static_cast<float>(plain);
    if (largest == 0) continue;
    const int place = largest - kBias - kPlaces;
    const double in_places = power_of_two(-place);
    std::int64_t places = 0;
    for (const double addend : addends) places += static_cast<std::int64_t>(addend * in_places);
    sum = truncated(static_cast<double>(places) * power_of_two(place));
  }
  return sum;
}

/// d += a b for all lanes; `Element` turns a register and a position into a number, products are `Product`s.
template <class Number, class Product, unsigned kDepth, unsigned kPerRegister, class Element>
void multiply_fragments(const void* const (&in)[32], Element element) {
  const auto lane_in = [&in](unsigned i) { return static_cast<const Fragments<Number>*>(in[i]); };
  Product a[16][kDepth], b[kDepth][8];
  for (unsigned k = 0; k < kDepth; ++k) {
    for (unsigned row = 0; row < 16; ++row) {
      const Where at = in_a(row, k, kPerRegister);
      a[row][k] = element(lane_in(at.lane)->a[at.reg], at.part);
    }
    for (unsigned column = 0; column < 8; ++column) {
      const Where at = in_b(k, column, kPerRegister);
      b[k][column] = element(lane_in(at.lane)->b[at.reg], at.part);
    }
  }
  for (unsigned row = 0; row < 16; ++row) {
    for (unsigned column = 0; column < 8; ++column) {
      const Where at = in_d(row, column);
      Number& d = lane_in(at.lane)->d[at.reg];
      Product products[kDepth];
      for (unsigned k = 0; k < kDepth; ++k) products[k] = a[row][k] * b[k][column];
      d = add_products(d, products);
    }
  }
}

void multiply_f16(const void* const (&in)[32], void* const (&)[32]) {
  multiply_fragments<float, double, 16, 2>(in, [](std::uint32_t reg, unsigned part) {
    return half_to_float(static_cast<std::uint16_t>(reg >> (16 * part)));
  });
}

void multiply_bf16(const void* const (&in)[32], void* const (&)[32]) {
  multiply_fragments<float, double, 16, 2>(in, [](std::uint32_t reg, unsigned part) {
    return bfloat16_to_float(static_cast<std::uint16_t>(reg >> (16 * part)));
  });
}

std::int32_t signed_byte(std::uint32_t reg, unsigned part) {
  return static_cast<std::int32_t>(reg << (24 - 8 * part)) >> 24;
}

template <unsigned kDepth>
void multiply_s8(const void* const (&in)[32], void* const (&)[32]) {
  multiply_fragments<std::int32_t, std::int32_t, kDepth, 4>(in, signed_byte);
}

}  // namespace

void sync_warp(Place place) {
  warp_collective(
      kAllLanes, [](const void* const(&)[32], void* const(&)[32]) {}, nullptr, nullptr, place);
}

std::uint32_t shuffle_bits(std::uint32_t bits, unsigned from, Place place) {
  const ShuffleIn in{bits, from};
  std::uint32_t out = 0;
  warp_collective(kAllLanes, exchange, &in, &out, place);
  return out;
}

float sum_of_lanes(float value, Place place) {
  return folded<float, sum_of_pair>(value, place);
}
std::int32_t sum_of_lanes(std::int32_t value, Place place) {
  return folded<std::int32_t, sum_of_pair>(value, place);
}
std::uint32_t sum_of_lanes(std::uint32_t value, Place place) {
  return folded<std::uint32_t, sum_of_pair>(value, place);
}
float max_of_lanes(float value, Place place) {
  return folded<float, max_of_pair>(value, place);
}

std::uint32_t votes_of_lanes(bool vote, Place place) {
  std::uint32_t out = 0;
  warp_collective(kAllLanes, collect_votes, &vote, &out, place);
  return out;
}

std::uint32_t atomic_add(std::uint32_t* to, std::uint32_t value) {
  return std::atomic_ref(*to).fetch_add(value);
}

float atomic_add(float* to, float value) {
  return std::atomic_ref(*to).fetch_add(value);
}

std::uint32_t atomic_max(std::uint32_t* to, std::uint32_t value) {
  std::atomic_ref target(*to);
  std::uint32_t before = target.load();
  while (before < value && !target.compare_exchange_weak(before, value)) {
  }
  return before;
}

std::uint32_t atomic_exchange(std::uint32_t* to, std::uint32_t value) {
  return std::atomic_ref(*to).exchange(value);
}

void fence_device() {
#if !defined( \
    __SANITIZE_THREAD__)  // which does not know fences; atomic operations order there what they touch
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}

float half_to_float(std::uint16_t bits) {
  // Exponent and mantissa in fp32's place, then the difference of the exponents' biases: exact.
  const std::uint32_t magnitude = static_cast<std::uint32_t>(bits & 0x7fff) << 13;
  const bool special = (bits & 0x7c00) == 0x7c00;
  const float scaled = std::bit_cast<float>(magnitude) * 0x1p112f;
  const float value = special ? std::bit_cast<float>(magnitude | 0x7f800000u) : scaled;
  return (bits & 0x8000) != 0 ? -value : value;
}

float bfloat16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

std::uint16_t float_to_half(float value) {
  const auto sign = static_cast<std::uint16_t>(std::signbit(value) ? 0x8000 : 0);
  if (std::isnan(value)) return static_cast<std::uint16_t>(sign | 0x7e00);
  const float magnitude = std::fmin(std::fabs(value), 65504.0f);
  const int exponent = std::max(std::ilogb(magnitude), -14);  // of subnormals too
  // Units of the last place: 1024 to 2047 for normal numbers; what rounds up to 2048 carries by itself.
  const auto units =
      static_cast<unsigned>(magnitude == 0.0f ? 0.0f : std::nearbyint(std::ldexp(magnitude, 10 - exponent)));
  if (units < 1024) return static_cast<std::uint16_t>(sign | units);
  return static_cast<std::uint16_t>(sign | ((static_cast<unsigned>(exponent + 14) << 10) + units));
}

void cos_sin_of_turns(std::uint32_t turns, float* cos, float* sin) {
  const float half_turns =
      static_cast<float>(static_cast<std::int32_t>(turns)) * 0x1p-31f;  // as the GPU has it
  const double angle = static_cast<double>(half_turns) * 3.14159265358979323846;
  *cos = static_cast<float>(std::cos(angle));
  *sin = static_cast<float>(std::sin(angle));
}

void multiply_tiles(float (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2], TileType type,
                    Place place) {
  const Fragments<float> in{a, b, d};
  warp_collective(kAllLanes, type == TileType::f16 ? multiply_f16 : multiply_bf16, &in, nullptr, place);
}

void multiply_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[4], const std::uint32_t (&b)[2],
                       Place place) {
  const Fragments<std::int32_t> in{a, b, d};
  warp_collective(kAllLanes, multiply_s8<32>, &in, nullptr, place);
}

void multiply_half_tiles_s8(std::int32_t (&d)[4], const std::uint32_t (&a)[2], std::uint32_t b, Place place) {
  const Fragments<std::int32_t> in{a, &b, d};
  warp_collective(kAllLanes, multiply_s8<16>, &in, nullptr, place);
}

}  // namespace tandem::cuda::emulation
