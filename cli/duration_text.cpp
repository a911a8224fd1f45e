#include "cli/duration_text.h"

namespace tandem::cli {

std::string duration_text(std::uint64_t s) {
  const auto two = [](std::uint64_t big, const char* unit, std::uint64_t small, const char* small_unit) {
    return std::to_string(big) + unit + std::to_string(small) + small_unit;
  };
  if (s < 60) return std::to_string(s) + " s";
  if (s < 3600) return two(s / 60, " m ", s % 60, " s");
  if (s < 86400) return two(s / 3600, " h ", s % 3600 / 60, " m");
  return two(s / 86400, " d ", s % 86400 / 3600, " h");
}

}  // namespace tandem::cli
