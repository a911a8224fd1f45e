#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace tandem::model {

/// Inverse frequencies (head_dim/2) of rotary embedding, in double: base^(-2i/head_dim) / linear_factor /
/// divisors[i].  `divisors` is empty or (head_dim/2); one of 1e20 or more means "not rotated" and gives 0
/// (model-spec 1.2).
std::vector<double> rope_inv_freq(double base, std::uint32_t head_dim, double linear_factor,
                                  std::span<const float> divisors);

/// The tensor rope_freqs of Gemma 4 where a file lacks it: (head_dim/2) divisors, 1 for the first quarter
/// and 1e30 for the others.
std::vector<float> proportional_rope_divisors(std::uint32_t head_dim);

}  // namespace tandem::model
