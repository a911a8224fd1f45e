#pragma once

#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>
#include <vector>

namespace tandem::model {

/// Edits (insert, delete, replace one character) that turn `a` into `b`.
inline std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 1; i <= a.size(); ++i) {
    auto diagonal = std::exchange(row[0], i);
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const auto replaced = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
      diagonal = row[j];
      row[j] = std::min({row[j] + 1, row[j - 1] + 1, replaced});
    }
  }
  return row.back();
}

/// True if `name` has the letters of `word` in their order, as "context" has those of "ctx".
inline bool abbreviates(std::string_view word, std::string_view name) {
  std::size_t found = 0;
  for (const char letter : name) {
    if (found < word.size() && word[found] == letter) ++found;
  }
  return found == word.size();
}

/// The one of `known` that `word` is most likely meant to be, for "did you mean": one that begins with it,
/// else one that contains it, else one that it abbreviates, else any; of those the one with the fewest edits.
/// Empty if there is none.
template <typename Range>
std::string_view nearest(std::string_view word, const Range& known) {
  const auto kind = [word](std::string_view name) {
    if (const auto at = name.find(word); at != std::string_view::npos) return at == 0 ? 0 : 1;
    return abbreviates(word, name) ? 2 : 3;
  };
  const auto distance = [&](std::string_view name) {
    return std::pair(kind(name), edit_distance(word, name));
  };
  const auto best =
      std::min_element(std::begin(known), std::end(known),
                       [&distance](const auto& a, const auto& b) { return distance(a) < distance(b); });
  return best == std::end(known) ? std::string_view{} : std::string_view(*best);
}

}  // namespace tandem::model
