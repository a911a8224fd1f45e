#include "model/token_cut.h"

#include <algorithm>
#include <array>

namespace tandem::model {
namespace {

// A key is found a digit after the other, the highest first.
struct Digit {
  unsigned shift;
  unsigned bits;
};
constexpr Digit kDigits[] = {{21, 11}, {10, 11}, {0, 10}};
constexpr std::size_t kMostValues = std::size_t{1} << 11;  // of a digit

/// The fewest best of those within `cut` whose `weigh(logit)` adds up to `wanted_of(sum of all)`, or all of
/// them; one at least.
template <class Weigh, class WantedOf>
TokenCut find_cut(std::span<const float> logits, const TokenCut& cut, Weigh weigh,
                  WantedOf wanted_of) noexcept {
  std::array<double, kMostValues> sums;  // by the value of a digit
  TokenCut found;
  double wanted = 0.0;
  double above = 0.0;  // what those with larger keys weigh
  for (const auto& digit : kDigits) {
    const auto shift = digit.shift, bits = digit.bits;
    const auto values = std::size_t{1} << bits;
    const bool is_first = shift + bits == 32;
    sums.fill(0.0);
    for_each_within(cut, logits, [&](std::size_t, float logit) {
      const auto key = TokenCut::key_of(logit);
      if (is_first || key >> (shift + bits) == found.key >> (shift + bits)) {
        sums[key >> shift & (values - 1)] += weigh(logit);
      }
      return true;
    });
    if (is_first) {
      double all = 0.0;
      for (auto value = values; value > 0; --value) all += sums[value - 1];
      wanted = wanted_of(all);
      if (wanted > all || all == 0.0) return cut;
    }
    // The first one with which there is enough; the last one there is, where sums of parts are rounded to
    // less.
    auto value = values;
    for (auto next = values; next-- > 0;) {
      if (sums[next] == 0.0) continue;
      if (value < values) above += sums[value];
      value = next;
      if (above + sums[next] >= wanted) break;
    }
    found.key |= static_cast<std::uint32_t>(value) << shift;
  }
  const auto weight = weigh(TokenCut::logit_of(found.key));
  const auto equal = std::ceil((wanted - above) / weight);
  const auto most = static_cast<double>(logits.size());  // a weight may be tiny beside what rounding lost
  found.equal = static_cast<std::size_t>(std::clamp(equal, 1.0, most));
  return found;
}

}  // namespace

double weight_of(float logit, float best, double temperature) noexcept {
  if (logit == best) return 1.0;
  return std::isnan(logit) ? 0.0 : std::exp((double{logit} - double{best}) / temperature);
}

TokenCut cut_of_best(std::span<const float> logits, std::size_t count) noexcept {
  const auto one = [](float) { return 1.0; };
  return find_cut(logits, {}, one, [count](double) { return static_cast<double>(count); });
}

TokenCut cut_of_mass(std::span<const float> logits, const TokenCut& cut, float best, double temperature,
                     double part) noexcept {
  return find_cut(
      logits, cut, [=](float logit) { return weight_of(logit, best, temperature); },
      [part](double all) { return part * all; });
}

}  // namespace tandem::model
