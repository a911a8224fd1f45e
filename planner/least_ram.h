#pragma once

#include <cstdint>
#include <limits>
#include <optional>

#include "planner/search_space.h"

namespace tandem::planner {

/// A search through one case ends here, for models whose layers all differ: the answer may not be the least
/// then.
inline constexpr std::uint64_t kMostRamTries = 3'000'000;

struct LeastRam {
  Placement placement;
  std::uint64_t ram_bytes = 0;
};

/// The placement of `space`'s cases that needs the least RAM within the VRAM budget; nothing if no case
/// allows any, or none needs as little as `most_bytes`.  The first one found within the RAM budget will do.
/// Units that are alike are counted, not told apart, so it is quick; where only what fits is of interest,
/// `most_bytes` makes it so for all models.
std::optional<LeastRam> least_ram(const SearchSpace& space,
                                  std::uint64_t most_bytes = std::numeric_limits<std::uint64_t>::max());

}  // namespace tandem::planner
