#pragma once

// Kernels over one row: norms, GeGLU, softcap, quantisation, rotation.
//
// Limit: arithmetic; a row lies in the caches.  All of them together are a few hundredths of a prompt's time.
// Tried and lost: the sums of sixteen quants, and conversions to fp16, as plain loops: GCC 12 took them byte
// by byte, two to fourteen times as long (bench/results/2026-11-roofline.md, "Rows of activations").

#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/kv_rows.h"
#include "backends/cpu/mutant.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/vector_math.h"

namespace tandem::cpu {
namespace {

inline float sum_of_squares(const float* x, std::uint32_t n) {
  F32x16 sum = broadcast(0.0f);
  std::size_t i = 0;
  for (; i + 16 <= n; i += 16) {
    const F32x16 lanes = load(x + i);
    sum = add(sum, mul(lanes, lanes));
  }
  if (i < n) {
    float padded[16] = {};
    __builtin_memcpy(padded, x + i, (n - i) * sizeof(float));
    const F32x16 lanes = load(padded);
    sum = add(sum, mul(lanes, lanes));
  }
  return reduce_add(sum);
}

inline float rms_factor(const float* x, std::uint32_t n, float eps) {
  return 1.0f / __builtin_sqrtf(sum_of_squares(x, n) / static_cast<float>(n) + eps);
}

void rms_norm(const float* x, const float* weight, std::uint32_t n, float eps, float* y) noexcept {
  const F32x16 factor = broadcast(rms_factor(x, n, eps));
  if (weight == nullptr) {
    for_lanes<1>({x}, n, y, [&](const F32x16* in) { return mul(in[0], factor); });
    return;
  }
  for_lanes<2>({x, weight}, n, y, [&](const F32x16* in) { return mul(mul(in[0], factor), in[1]); });
}

void add_rms_norm(const float* y, const float* weight, std::uint32_t n, float eps, float scale,
                  float* x) noexcept {
  const F32x16 factor = broadcast(rms_factor(y, n, eps));
  const F32x16 scales = broadcast(scale);
  for_lanes<3>({x, y, weight}, n, x, [&](const F32x16* in) {
    if (mutant(Mutant::no_post_norm)) return mul(add(in[0], in[1]), scales);
    const F32x16 normed = mul(mul(in[1], factor), in[2]);
    if (mutant(Mutant::scale_before_residual)) return add(in[0], mul(normed, scales));
    return mul(add(in[0], normed), scales);
  });
}

void gelu_multiply(float* gate, const float* up, std::uint32_t n) noexcept {
  if (mutant(Mutant::erf_gelu)) {
    for (std::size_t i = 0; i < n; ++i) {
      gate[i] = 0.5f * gate[i] * (1.0f + __builtin_erff(gate[i] * 0.70710678f)) * up[i];
    }
    return;
  }
  for_lanes<2>({gate, up}, n, gate, [](const F32x16* in) { return mul(gelu(in[0]), in[1]); });
}

void softcap(float* x, std::uint32_t n, float cap) noexcept {
  const F32x16 caps = broadcast(cap);
  for_lanes<1>({x}, n, x, [&](const F32x16* in) { return mul(tanh(div(in[0], caps)), caps); });
}

/// To nearest, halves away from zero, as integers.
TANDEM_INLINE I32x16 round_half_away(F32x16 x) {
  const I32x16 whole = to_int(x);
  const F32x16 rest = sub(x, to_float(whole));
  const F32x16 away = add(to_float(whole), copy_sign(broadcast(1.0f), x));
  return to_int(less_select(abs(rest), broadcast(0.5f), to_float(whole), away));
}

void quantise(const float* x, QuantisedLayout layout, std::uint32_t first, std::uint32_t n,
              std::byte* row) noexcept {
  auto* quants = reinterpret_cast<std::int8_t*>(row);
  auto* scales = reinterpret_cast<float*>(row + layout.scales_at());
  auto* sums = reinterpret_cast<std::int16_t*>(row + layout.sums_at());
  for (std::size_t g = first / kActivationGroup; g < (first + n) / kActivationGroup; ++g) {
    const F32x16 low = load(x + 32 * g);
    const F32x16 high = load(x + 32 * g + 16);
    const float amax = reduce_max(max(abs(low), abs(high)));
    scales[g] = amax / 127.0f;
    const F32x16 inverse = broadcast(amax > 0 ? 127.0f / amax : 0.0f);
    store_low_bytes(quants + 32 * g, round_half_away(mul(low, inverse)));
    store_low_bytes(quants + 32 * g + 16, round_half_away(mul(high, inverse)));
    sums[2 * g] = sum_of_sixteen(quants + 32 * g);
    sums[2 * g + 1] = sum_of_sixteen(quants + 32 * g + 16);
  }
}

/// Eight angles at once.  The compiler makes registers of what the machine has; fp64 is the same on all.
inline constexpr std::size_t kAngles = 8;
using F64x8 [[gnu::vector_size(kAngles * sizeof(double))]] = double;
using I64x8 [[gnu::vector_size(kAngles * sizeof(std::int64_t))]] = std::int64_t;
using F32x8 [[gnu::vector_size(kAngles * sizeof(float))]] = float;

/// cos and sin of angles in [0, 2^20], each off by less than 1e-12 before it is rounded to fp32.
TANDEM_INLINE void cos_and_sin(const F64x8& angle, float* cos, float* sin) {
  // r = angle - k pi/2 in [-pi/4, pi/4]; pi/2 in two parts, the first short enough for an exact product.
  constexpr double kHalfPiHigh = 0x1.921fb544p0;
  constexpr double kHalfPiLow = 0x1.0b4611a626331p-34;
  constexpr double kWhole = 0x1.8p52;  // numbers this large have no fraction: adding it rounds
  const F64x8 shifted = angle * 0.63661977236758134 + kWhole;
  const F64x8 turns = shifted - kWhole;
  const I64x8 k = __builtin_bit_cast(I64x8, shifted);
  const F64x8 r = (angle - turns * kHalfPiHigh) - turns * kHalfPiLow;
  const F64x8 s = r * r;
  // Taylor; the next terms are below 1e-12.
  const F64x8 sine =
      r *
      (1 + s * (-1.0 / 6 + s * (1.0 / 120 + s * (-1.0 / 5040 + s * (1.0 / 362880 - s * (1.0 / 39916800))))));
  const F64x8 cosine =
      1 + s * (-0.5 + s * (1.0 / 24 + s * (-1.0 / 720 + s * (1.0 / 40320 +
                                                             s * (-1.0 / 3628800 + s * (1.0 / 479001600))))));
  const I64x8 odd = (k & 1) != 0;
  const F64x8 swapped_cos = odd ? sine : cosine;
  const F64x8 swapped_sin = odd ? cosine : sine;
  const F32x8 cosines = __builtin_convertvector(((k + 1) & 2) != 0 ? -swapped_cos : swapped_cos, F32x8);
  const F32x8 sines = __builtin_convertvector((k & 2) != 0 ? -swapped_sin : swapped_sin, F32x8);
  __builtin_memcpy(cos, &cosines, sizeof cosines);
  __builtin_memcpy(sin, &sines, sizeof sines);
}

void rotation(const double* inv_freq, std::uint32_t n, std::uint64_t position, float* cos,
              float* sin) noexcept {
  const double p = static_cast<double>(mutant(Mutant::rope_off_by_one) ? position + position % 2 : position);
  std::size_t i = 0;
  F64x8 frequencies = {};
  for (; i + kAngles <= n; i += kAngles) {
    __builtin_memcpy(&frequencies, inv_freq + i, sizeof frequencies);
    cos_and_sin(frequencies * p, cos + i, sin + i);
  }
  if (i == n) return;
  float padded_cos[kAngles], padded_sin[kAngles];
  __builtin_memcpy(&frequencies, inv_freq + i, (n - i) * sizeof(double));
  cos_and_sin(frequencies * p, padded_cos, padded_sin);
  __builtin_memcpy(cos + i, padded_cos, (n - i) * sizeof(float));
  __builtin_memcpy(sin + i, padded_sin, (n - i) * sizeof(float));
}

void rotate(const float* cos, const float* sin, std::uint32_t n, std::uint32_t head_dim,
            float* head) noexcept {
  if (mutant(Mutant::adjacent_pair_rope)) {
    for (std::size_t i = 0; i < n; ++i) {
      const float a = head[2 * i], b = head[2 * i + 1];
      head[2 * i] = a * cos[i] - b * sin[i];
      head[2 * i + 1] = a * sin[i] + b * cos[i];
    }
    return;
  }
  float* second = head + head_dim / 2;
  for (std::size_t i = 0; i < n; ++i) {
    const float a = head[i], b = second[i];
    head[i] = a * cos[i] - b * sin[i];
    second[i] = a * sin[i] + b * cos[i];
  }
}

void round_query(float factor, device::KvType type, std::uint32_t n, float* x) noexcept {
  const F32x16 factors = broadcast(factor);
  if (type == device::KvType::f32) {
    for_lanes<1>({x}, n, x, [&](const F32x16* in) { return mul(in[0], factors); });
    return;
  }
  for_lanes<1>({x}, n, x, [&](const F32x16* in) {
    std::uint16_t halves[16];
    store_half(halves, mul(in[0], factors));
    return load_half(halves);
  });
}

/// 32 elements in 34 bytes: fp16 scale, int8 quants, to nearest, halves away from zero.
inline void encode_q8_0(const float* x, std::byte* block) {
  const F32x16 low = load(x), high = load(x + 16);
  const std::uint16_t scale = float_to_half(reduce_max(max(abs(low), abs(high))) / 127.0f);
  __builtin_memcpy(block, &scale, sizeof scale);
  const float rounded = half_to_float(scale);
  const F32x16 divisor = broadcast(rounded > 0 ? rounded : 1.0f);  // what a scale of 0 stands for rounds to 0
  const F32x16 most = broadcast(127.0f), least = broadcast(-127.0f);
  const auto quants = [&](const F32x16& some) {
    return round_half_away(min(max(div(some, divisor), least), most));
  };
  auto* to = reinterpret_cast<std::int8_t*>(block + sizeof scale);
  store_low_bytes(to, quants(low));
  store_low_bytes(to + 16, quants(high));
}

void encode_kv(const float* x, std::uint32_t n, device::KvType type, std::byte* to) noexcept {
  if (type == device::KvType::f32) {
    __builtin_memcpy(to, x, n * sizeof(float));
    return;
  }
  if (type == device::KvType::f16) {
    std::size_t i = 0;
    for (; i + 16 <= n; i += 16) store_half(reinterpret_cast<std::uint16_t*>(to) + i, load(x + i));
    for (; i < n; ++i) {
      const std::uint16_t half = float_to_half(x[i]);
      __builtin_memcpy(to + 2 * i, &half, sizeof half);
    }
    return;
  }
  for (std::size_t b = 0; b < n / 32; ++b) encode_q8_0(x + 32 * b, to + 34 * b);
}

}  // namespace
}  // namespace tandem::cpu
