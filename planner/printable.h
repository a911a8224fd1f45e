#pragma once

#include <string>
#include <string_view>

namespace tandem::planner {

/// Text from a model file made safe to show: invalid UTF-8 becomes U+FFFD, control characters become spaces.
std::string printable(std::string_view text);

}  // namespace tandem::planner
