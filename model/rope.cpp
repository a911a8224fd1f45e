#include "model/rope.h"

#include <algorithm>
#include <cmath>

namespace tandem::model {

std::vector<double> rope_inv_freq(double base, std::uint32_t head_dim, double linear_factor,
                                  std::span<const float> divisors) {
  constexpr float kNotRotated = 1e20f;
  std::vector<double> inv_freq(head_dim / 2);
  for (std::size_t i = 0; i < inv_freq.size(); ++i) {
    const float divisor = divisors.empty() ? 1.0f : divisors[i];
    if (divisor >= kNotRotated) continue;
    const double exponent = -2.0 * static_cast<double>(i) / head_dim;
    inv_freq[i] = std::pow(base, exponent) / linear_factor / static_cast<double>(divisor);
  }
  return inv_freq;
}

std::vector<float> proportional_rope_divisors(std::uint32_t head_dim) {
  std::vector<float> divisors(head_dim / 2, 1e30f);
  std::fill_n(divisors.begin(), head_dim / 8, 1.0f);
  return divisors;
}

}  // namespace tandem::model
