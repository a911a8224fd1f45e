#pragma once

// exp, tanh and friends on sixteen lanes.  Taylor series on a reduced argument, branch-free, the same to the
// bit on every instruction set, which libm does not promise.

#include "backends/cpu/simd.h"

namespace tandem::cpu {
namespace {

/// e^x = 2^n * (1 + tail) with |x - n ln 2| <= ln 2 / 2; x in [-87, 88].
struct ExpParts {
  F32x16 two_to_n;
  F32x16 tail;
};

TANDEM_INLINE ExpParts exp_parts(F32x16 x) {
  const F32x16 n = round_nearest(mul(x, broadcast(1.44269504f)));
  // ln 2 in two parts, the first with few enough bits that n times it is exact.
  F32x16 r = sub(x, mul(n, broadcast(0.693359375f)));
  r = sub(r, mul(n, broadcast(-2.12194440e-4f)));
  // e^r - 1 = r + r^2/2 + ... + r^7/5040; the next term is below 6e-9.
  F32x16 tail = broadcast(1.0f / 5040);
  tail = add(mul(tail, r), broadcast(1.0f / 720));
  tail = add(mul(tail, r), broadcast(1.0f / 120));
  tail = add(mul(tail, r), broadcast(1.0f / 24));
  tail = add(mul(tail, r), broadcast(1.0f / 6));
  tail = add(mul(tail, r), broadcast(0.5f));
  tail = add(mul(mul(tail, r), r), r);
  return {exp2_int(to_int(n)), tail};
}

/// e^x, relative error below 2e-7; 0 below -87.
TANDEM_INLINE F32x16 exp(F32x16 x) {
  const F32x16 low = broadcast(-87.0f);
  const ExpParts parts = exp_parts(min(max(x, low), broadcast(88.0f)));
  const F32x16 value = add(mul(parts.two_to_n, parts.tail), parts.two_to_n);
  return less_select(x, low, broadcast(0.0f), value);
}

/// tanh(x) by way of e^2|x| - 1, which keeps small results exact.
TANDEM_INLINE F32x16 tanh(F32x16 x) {
  const F32x16 one = broadcast(1.0f);
  const F32x16 magnitude = min(abs(x), broadcast(10.0f));
  const ExpParts parts = exp_parts(add(magnitude, magnitude));
  const F32x16 less_one = add(mul(parts.two_to_n, parts.tail), sub(parts.two_to_n, one));
  return copy_sign(div(less_one, add(less_one, broadcast(2.0f))), x);
}

/// gelu_tanh(t) = t (1 + tanh u) / 2 = t / (1 + e^-2u) with u = sqrt(2/pi) (t + 0.044715 t^3).
TANDEM_INLINE F32x16 gelu(F32x16 t) {
  const F32x16 cubic = mul(mul(mul(t, t), t), broadcast(0.044715f));
  const F32x16 minus_2u = mul(add(t, cubic), broadcast(-1.59576912f));
  return div(t, add(broadcast(1.0f), exp(minus_2u)));
}

/// Runs `body(lanes, offset)` over n elements in steps of sixteen; a tail is padded with zeros in `Lanes`
/// copies.
template <std::size_t kInputs, class Body>
TANDEM_INLINE void for_lanes(const float* const (&inputs)[kInputs], std::uint32_t n, float* out, Body body) {
  std::size_t i = 0;
  F32x16 lanes[kInputs];
  for (; i + 16 <= n; i += 16) {
    for (std::size_t k = 0; k < kInputs; ++k) lanes[k] = load(inputs[k] + i);
    store(out + i, body(lanes));
  }
  if (i == n) return;
  float padded[16] = {};
  for (std::size_t k = 0; k < kInputs; ++k) {
    __builtin_memcpy(padded, inputs[k] + i, (n - i) * sizeof(float));
    lanes[k] = load(padded);
  }
  store(padded, body(lanes));
  __builtin_memcpy(out + i, padded, (n - i) * sizeof(float));
}

}  // namespace
}  // namespace tandem::cpu
