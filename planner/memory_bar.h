#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "planner/palette.h"
#include "planner/plan.h"

namespace tandem::planner {

/// One part of a bar: what it looks like and how many bytes it stands for.
struct BarPart {
  Style style;
  std::uint64_t bytes = 0;
};

/// A device's arenas by purpose.
std::vector<BarPart> bar_parts(const Plan& plan, Device device);

/// Where each part ends, 0 to `length`: its share of `whole_bytes` and of those before it, rounded.  So parts
/// touch and never overlap, and each is within one of its exact length.
std::vector<std::size_t> bar_ends(std::span<const BarPart> parts, std::uint64_t whole_bytes,
                                  std::size_t length);

/// A bar of `columns` columns for a terminal, a letter for each part and what is left of the budget as dots:
/// "[WWWWWHHKKA....]", brackets included.  Where the parts exceed the budget, the bar is as long as they are
/// and letters beyond the budget are small.
std::string memory_bar(std::span<const BarPart> parts, std::uint64_t budget_bytes, std::size_t columns,
                       Ink ink);

/// The letters of a plan's bars in words, only of parts that are there: "W weights  H head  . free".  Lines
/// of at most 80 columns that begin with `indent` spaces and end with a newline.
std::string memory_bar_legend(const Plan& plan, std::size_t indent, Ink ink);

}  // namespace tandem::planner
