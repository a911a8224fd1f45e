#pragma once

#include <cstdint>
#include <string>

namespace tandem::cli {

/// "4 s", "3 m 20 s", "5 h 7 m", "2 d 3 h".
std::string duration_text(std::uint64_t s);

}  // namespace tandem::cli
