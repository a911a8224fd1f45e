#pragma once

namespace tandem::cpu {

/// Planted mistakes.  A test build switches one on and expects the fixtures to notice; in the product
/// `mutant()` is a constant and leaves no trace.
enum class Mutant {
  none,
  window_plus_one,
  window_minus_one,
  erf_gelu,
  adjacent_pair_rope,
  rotated_v,
  weighted_v_norm,
  norm_after_rope,
  kv_head_by_remainder,
  no_post_norm,
  scale_before_residual,
  rope_off_by_one,
  commit_before_attention,
  skip_last_key,
  swapped_gate_and_up,
  ring_too_small
};

#ifdef TANDEM_MUTANTS
inline Mutant active_mutant = Mutant::none;
inline bool mutant(Mutant which) noexcept {
  return which == active_mutant;
}
#else
constexpr bool mutant(Mutant) noexcept {
  return false;
}
#endif

}  // namespace tandem::cpu
