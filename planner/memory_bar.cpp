#include "planner/memory_bar.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string_view>
#include <utility>

#include "planner/columns.h"
#include "planner/names.h"

namespace tandem::planner {
namespace {

std::string small_letters(std::string text) {
  std::ranges::transform(text, text.begin(),
                         [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

double sum_of(std::span<const BarPart> parts) {
  double sum = 0;
  for (const auto& part : parts) sum += static_cast<double>(part.bytes);
  return sum;
}

}  // namespace

std::vector<BarPart> bar_parts(const Plan& plan, Device device) {
  std::vector<BarPart> parts;
  for (const auto& purpose : kPurposeNames) {
    const auto bytes = plan.arena_bytes(device, purpose.value);
    if (bytes > 0) parts.push_back({style_of(purpose.value), bytes});
  }
  return parts;
}

std::vector<std::size_t> bar_ends(std::span<const BarPart> parts, std::uint64_t whole_bytes,
                                  std::size_t length) {
  std::vector<std::size_t> ends;
  ends.reserve(parts.size());
  double sum = 0;
  for (const auto& part : parts) {
    sum += static_cast<double>(part.bytes);
    const auto share = whole_bytes == 0 ? 1.0 : std::min(1.0, sum / static_cast<double>(whole_bytes));
    ends.push_back(static_cast<std::size_t>(std::lround(share * static_cast<double>(length))));
  }
  return ends;
}

std::string memory_bar(std::span<const BarPart> parts, std::uint64_t budget_bytes, std::size_t columns,
                       Ink ink) {
  const auto length = columns - 2;
  const auto used = sum_of(parts);
  const auto budget = static_cast<double>(budget_bytes);
  const auto whole = used > budget ? static_cast<std::uint64_t>(std::min(used, 1.8e19)) : budget_bytes;
  const auto budget_end =
      used > budget ? static_cast<std::size_t>(budget / used * static_cast<double>(length)) : length;
  const auto ends = bar_ends(parts, whole, length);
  std::string bar;
  std::size_t at = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const auto end = std::max(ends[i], at);
    const auto within = std::clamp(budget_end, at, end) - at;
    const std::string letters(end - at, parts[i].style.letter);
    bar += painted(letters.substr(0, within) + small_letters(letters.substr(within)), parts[i].style, ink);
    at = end;
  }
  return "[" + bar + painted(std::string(length - at, '.'), style_of_free(), ink) + "]";
}

std::string memory_bar_legend(const Plan& plan, std::size_t indent, Ink ink) {
  std::vector<std::pair<Style, std::string_view>> entries;
  for (const auto& purpose : kPurposeNames) {
    const bool is_there =
        std::ranges::find(plan.arenas, purpose.value, &ArenaPlan::purpose) != plan.arenas.end();
    if (is_there) entries.emplace_back(style_of(purpose.value), purpose.text);
  }
  entries.emplace_back(style_of_free(), "free");
  std::string text;
  std::size_t column = kColumns;  // the first entry begins a line
  for (const auto& [style, name] : entries) {
    const auto width = name.size() + 2;  // letter and space
    const bool begins_line = column + 2 + width > kColumns;
    if (begins_line) text += (text.empty() ? "" : "\n") + std::string(indent, ' ');
    column = begins_line ? indent + width : column + 2 + width;
    text += (begins_line ? "" : "  ") + painted(std::string(1, style.letter), style, ink) + " " +
            std::string(name);
  }
  return text + "\n";
}

}  // namespace tandem::planner
