#pragma once

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace tandem::model {

/// Some of the best tokens by their logits, larger ones first, then smaller ids, told by the last of them: no
/// list of them is needed.  A logit that is not a number is never among them.
struct TokenCut {
  static constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();

  std::uint32_t key = 0;     ///< `key_of` the last one's logit
  std::size_t equal = kAll;  ///< so many of the tokens with just this logit

  /// Numbers in the order of the logits that they belong to, and back.
  [[nodiscard]] static std::uint32_t key_of(float logit) noexcept {
    constexpr std::uint32_t kSign = 0x80000000;
    const auto bits = std::bit_cast<std::uint32_t>(logit + 0.0F);  // -0 is 0
    return (bits & kSign) != 0 ? ~bits : bits | kSign;
  }
  [[nodiscard]] static float logit_of(std::uint32_t key) noexcept {
    constexpr std::uint32_t kSign = 0x80000000;
    return std::bit_cast<float>((key & kSign) != 0 ? key & ~kSign : ~key);
  }

  bool operator==(const TokenCut&) const = default;
};

/// Calls visit(id, logit) for the tokens within `cut`, by id; until it says false.
template <class Visit>
void for_each_within(const TokenCut& cut, std::span<const float> logits, Visit visit) {
  if (cut == TokenCut()) {  // the same with less to look at
    for (std::size_t id = 0; id < logits.size(); ++id) {
      if (!std::isnan(logits[id]) && !visit(id, logits[id])) return;
    }
    return;
  }
  auto equal_left = cut.equal;
  for (std::size_t id = 0; id < logits.size(); ++id) {
    if (std::isnan(logits[id])) continue;
    const auto key = TokenCut::key_of(logits[id]);
    if (key < cut.key || (key == cut.key && equal_left == 0)) continue;
    if (key == cut.key) --equal_left;
    if (!visit(id, logits[id])) return;
  }
}

/// The `count` best of `logits`, 1 or more; all that are numbers, if those are fewer.
TokenCut cut_of_best(std::span<const float> logits, std::size_t count) noexcept;

/// The fewest best, one at least, that weigh `part` of what those within `cut` weigh: a logit weighs
/// exp((logit - best) / temperature), where `best` is the largest.
TokenCut cut_of_mass(std::span<const float> logits, const TokenCut& cut, float best, double temperature,
                     double part) noexcept;

/// exp((logit - best) / temperature), where both may be infinite and the logit not a number.
double weight_of(float logit, float best, double temperature) noexcept;

}  // namespace tandem::model
