#pragma once

#include <cstddef>
#include <string>

namespace tandem::planner {

/// Width of what is drawn for a terminal.
inline constexpr std::size_t kColumns = 80;

/// `text` with spaces before or after it up to `columns`; as it is where it is longer.
std::string padded_left(std::string text, std::size_t columns);
std::string padded_right(std::string text, std::size_t columns);

/// `text` broken at spaces into lines of at most 80 columns, each ending with a newline; the first begins
/// with `first`, the others with as many spaces.
std::string wrapped(const std::string& first, const std::string& text);

}  // namespace tandem::planner
