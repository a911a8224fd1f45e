#include "planner/size_text.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <limits>
#include <optional>

#include "model/checked.h"
#include "planner/errors.h"

namespace tandem::planner {
namespace {

struct Unit {
  std::string_view name;
  std::uint64_t bytes;
};

constexpr std::array<Unit, 10> kUnits{{{"", 1},
                                       {"b", 1},
                                       {"kb", 1'000},
                                       {"mb", 1'000'000},
                                       {"gb", 1'000'000'000},
                                       {"tb", 1'000'000'000'000},
                                       {"kib", 1ULL << 10},
                                       {"mib", 1ULL << 20},
                                       {"gib", 1ULL << 30},
                                       {"tib", 1ULL << 40}}};

/// Bytes in the unit called `name`; nothing if there is no such unit.
std::optional<std::uint64_t> unit_bytes(std::string_view name) {
  std::string lower(name);
  std::ranges::transform(lower, lower.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  const auto* unit = std::ranges::find(kUnits, lower, &Unit::name);
  if (unit == kUnits.end()) return std::nullopt;
  return unit->bytes;
}

std::string with_decimals(double number, int decimals) {
  std::array<char, 64> text{};
  const auto length = std::snprintf(text.data(), text.size(), "%.*f", decimals, number);
  return {text.data(), static_cast<std::size_t>(length)};
}

}  // namespace

std::uint64_t parse_size(std::string_view what, std::string_view text) {
  const auto refuse = [&](const std::string& problem) {
    return BadQuestion(std::string(what) + " \"" + std::string(text) + "\": " + problem,
                       "a size is a whole number with or without a unit: KB MB GB TB, KiB MiB GiB TiB");
  };
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc::result_out_of_range) throw refuse("more than 2^64 bytes");
  if (error != std::errc{}) throw refuse("not a size");
  std::string_view name(rest, static_cast<std::size_t>(end - rest));
  if (name.starts_with('.') || name.starts_with(',')) throw refuse("not a whole number");
  if (const auto begin = name.find_first_not_of(' '); begin != name.npos) name.remove_prefix(begin);
  const auto unit = unit_bytes(name);
  if (!unit) throw refuse("no such unit");
  const auto bytes = model::checked_mul(number, *unit);
  if (!bytes) throw refuse("more than 2^64 bytes");
  return *bytes;
}

void refuse_count(std::string_view what, std::string_view text, std::uint64_t max) {
  throw BadQuestion(std::string(what) + " \"" + std::string(text) + "\" must be a whole number up to " +
                    std::to_string(max));
}

std::uint64_t parse_count(std::string_view what, std::string_view text, std::uint64_t max) {
  std::uint64_t number = 0;
  const auto* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  if (error == std::errc{} && rest == end && number <= max) return number;
  refuse_count(what, text, max);
}

std::string grouped(std::uint64_t number) {
  auto text = std::to_string(number);
  for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) {
    text.insert(static_cast<std::size_t>(at), 1, ',');
  }
  return text;
}

std::string tokens_text(std::uint64_t tokens) {
  return grouped(tokens) + (tokens == 1 ? " token" : " tokens");
}

std::string short_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 7> kNames{"B", "kB", "MB", "GB", "TB", "PB", "EB"};
  if (bytes < 1000) return std::to_string(bytes) + " B";
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 999.5 && unit + 1 < kNames.size()) {
    value /= 1000;
    ++unit;
  }
  return three_digits(value) + " " + std::string(kNames[unit]);
}

std::string exact_size(std::uint64_t bytes) {
  constexpr std::array<std::string_view, 5> kNames{"B", "KiB", "MiB", "GiB", "TiB"};
  std::size_t unit = 0;
  while (bytes > 0 && bytes % 1024 == 0 && unit + 1 < kNames.size()) {
    bytes /= 1024;
    ++unit;
  }
  return grouped(bytes) + " " + std::string(kNames[unit]);
}

std::string short_duration(double seconds) {
  constexpr double kHour = 3600;
  constexpr double kDay = 24 * kHour;
  if (seconds < 9999.5) return three_digits(seconds) + "s";
  if (seconds < 100 * kHour) return three_digits(seconds / kHour) + "h";
  return seconds < 9999.5 * kDay ? three_digits(seconds / kDay) + "d" : ">9999d";
}

std::string three_digits(double number) {
  if (number > 0 && number < 0.0995) return with_decimals(number, 3);
  if (number < 9.995) return with_decimals(number, 2);
  if (number < 99.95) return with_decimals(number, 1);
  return with_decimals(number, 0);
}

}  // namespace tandem::planner
