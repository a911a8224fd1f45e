#pragma once

#include <optional>

#include "planner/search_space.h"

namespace tandem::planner {

/// The placement of `space`'s cases that needs the least RAM within the VRAM budget; nothing if no case
/// allows any.  The first one found within the RAM budget will do.  Units that are alike are counted, not
/// told apart, so it is quick: kMostRamTries is for models whose layers all differ, and then the answer may
/// not be the least.
inline constexpr std::uint64_t kMostRamTries = 3'000'000;

struct LeastRam {
  Placement placement;
  std::uint64_t ram_bytes = 0;
};
std::optional<LeastRam> least_ram(const SearchSpace& space);

}  // namespace tandem::planner
