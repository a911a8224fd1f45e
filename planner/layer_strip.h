#pragma once

#include <cstdint>
#include <string>

#include "planner/palette.h"
#include "planner/plan.h"

namespace tandem::planner {

/// A layer's KV on a scale of 1 to 9 ninths of `largest_bytes`, rounded up; 0 where it has none.
int kv_level(std::uint64_t kv_bytes, std::uint64_t largest_bytes) noexcept;

/// KV of the layer that keeps most, for one sequence.
std::uint64_t largest_layer_kv_bytes(const Plan& plan) noexcept;

/// Layers as a strip of one column each, at most 80 wide, and the head: which kind each is, where its halves
/// are, how large its KV is; and what the signs mean.  A GPU is '#', the CPU '.', an FFN half that both share
/// '+'.
std::string layer_strip(const Plan& plan, Ink ink);

}  // namespace tandem::planner
