#include "model/json_rules.h"

#include <algorithm>
#include <string>
#include <utility>

#include "model/ordered_json.h"
#include "model/utf8_ranges.h"

namespace tandem::model::json_rules {
namespace {

using E = Expression;

constexpr std::uint32_t kMostDigits = 16;

/// A sequence of parts that are moved: what is in them may be most of a schema, at every level of it.
template <typename... Part>
E sequence_of(Part... part) {
  std::vector<E> parts;
  parts.reserve(sizeof...(part));
  (parts.push_back(std::move(part)), ...);
  return E::sequence(std::move(parts));
}

E digits(std::uint32_t min, std::uint32_t max) {
  return E::repeat(E::one_of({{'0', '9'}}), min, max);
}

E hex_digits(std::uint32_t count) {
  return E::repeat(E::one_of({{'0', '9'}, {'a', 'f'}, {'A', 'F'}}), count, count);
}

/// What may stand in a string for one character.  Surrogates come in pairs only, so every string is Unicode.
E character() {
  const auto d = E::one_of({{'d', 'd'}, {'D', 'D'}});
  const auto high = E::sequence({d, E::one_of({{'8', '9'}, {'a', 'b'}, {'A', 'B'}}), hex_digits(2)});
  const auto low = E::sequence({d, E::one_of({{'c', 'f'}, {'C', 'F'}}), hex_digits(2)});
  const auto below = E::sequence({d, E::one_of({{'0', '7'}}), hex_digits(2)});
  const auto others =
      E::sequence({E::one_of({{'0', '9'}, {'a', 'c'}, {'e', 'f'}, {'A', 'C'}, {'E', 'F'}}), hex_digits(3)});
  const auto code = E::choice({others, below, E::sequence({high, E::literal("\\u"), low})});
  const auto short_escape = E::one_of(
      {{'"', '"'}, {'\\', '\\'}, {'/', '/'}, {'b', 'b'}, {'f', 'f'}, {'n', 'n'}, {'r', 'r'}, {'t', 't'}});
  return E::choice(
      {E::one_of(complement({{0, 0x1F}, {'"', '"'}, {'\\', '\\'}, {0x7F, 0x7F}})),
       E::sequence({E::literal("\\"), E::choice({short_escape, E::sequence({E::literal("u"), code})})})});
}

E space() {
  const auto indent = E::repeat(E::one_of({{' ', ' '}, {'\t', '\t'}}), 0, 20);
  return E::optional(E::choice({E::literal(" "), E::sequence({E::literal("\n"), indent})}));
}

E natural() {
  return E::choice({E::literal("0"), E::sequence({E::one_of({{'1', '9'}}), digits(0, kMostDigits - 1)})});
}

E fraction() {
  return E::sequence({E::literal("."), digits(1, 24)});
}

E number() {
  const auto sign = E::optional(E::one_of({{'+', '+'}, {'-', '-'}}));
  const auto exponent = E::sequence({E::one_of({{'e', 'e'}, {'E', 'E'}}), sign, digits(1, 2)});
  return E::sequence(
      {E::optional(E::literal("-")), natural(), E::optional(fraction()), E::optional(exponent)});
}

E list_of(E item) {
  const auto more = E::repeat(after_comma(item), 0, E::kUnlimited);
  return E::optional(E::sequence({std::move(item), more}));
}

E digit_between(char first, char last) {
  return E::one_of({{static_cast<char32_t>(first), static_cast<char32_t>(last)}});
}

/// Numbers of as many digits as both bounds have, between them.
E same_length(const std::string& low, const std::string& high) {
  if (low.empty()) return E::sequence({});
  const auto count = static_cast<std::uint32_t>(low.size() - 1);
  if (low.find_first_not_of('0') == std::string::npos && high.find_first_not_of('9') == std::string::npos) {
    return digits(count + 1, count + 1);
  }
  const auto tail = [](const std::string& text) { return text.substr(1); };
  if (low[0] == high[0])
    return E::sequence({E::literal(low.substr(0, 1)), same_length(tail(low), tail(high))});
  std::vector<E> choices;
  choices.push_back(
      E::sequence({E::literal(low.substr(0, 1)), same_length(tail(low), std::string(count, '9'))}));
  if (low[0] + 1 < high[0]) {
    choices.push_back(
        E::sequence({digit_between(static_cast<char>(low[0] + 1), static_cast<char>(high[0] - 1)),
                     digits(count, count)}));
  }
  choices.push_back(
      E::sequence({E::literal(high.substr(0, 1)), same_length(std::string(count, '0'), tail(high))}));
  return E::choice(std::move(choices));
}

/// 0 <= low <= high <= kLargest.
E natural_between(std::int64_t low, std::int64_t high) {
  std::vector<E> choices;
  for (std::int64_t power = 10;; power *= 10) {  // one choice for each number of digits
    const auto longest = std::min(high, power - 1);
    if (low <= longest) {
      choices.push_back(same_length(std::to_string(low), std::to_string(longest)));
      low = longest + 1;
    }
    if (longest == high) return E::choice(std::move(choices));
  }
}

/// Numbers from low to high, 0 <= low; the ends themselves are out where they are open.
E magnitude_between(Bound low, Bound high) {
  const auto zeros = [](std::uint32_t min) { return E::repeat(E::literal("0"), min, 12); };
  std::vector<E> choices;
  if (low.open && low.value < high.value) {
    choices.push_back(E::sequence(
        {E::literal(std::to_string(low.value) + "."), zeros(0), digit_between('1', '9'), digits(0, 12)}));
  }
  const auto first = low.open ? low.value + 1 : low.value;
  if (first < high.value) {
    choices.push_back(E::sequence({natural_between(first, high.value - 1), E::optional(fraction())}));
  }
  if (first <= high.value && !high.open) {
    choices.push_back(E::sequence(
        {E::literal(std::to_string(high.value)), E::optional(E::sequence({E::literal("."), zeros(1)}))}));
  }
  return E::choice(std::move(choices));
}

E string_of(std::uint32_t min, std::uint32_t max) {
  return E::sequence({E::literal("\""), E::repeat(character(), min, max), E::literal("\"")});
}

E string_with(E characters) {
  return sequence_of(E::literal("\""), std::move(characters), E::literal("\""));
}

E constant(const OrderedJson& value) {
  return E::literal(value.dump());
}

E key(const std::string& name) {
  return constant(name);
}

}  // namespace

Notation json_notation() {
  return {rules_with(space(), string_of(0, E::kUnlimited), E::rule(kString)), string_of, string_with,
          constant, key};
}

std::vector<GrammarRule> rules_with(Expression space, Expression string, Expression key) {
  const auto value = E::rule(kValue);
  return {
      {std::string(kSpace), std::move(space)},
      {std::string(kString), std::move(string)},
      {std::string(kKey), std::move(key)},
      {std::string(kNumber), number()},
      {std::string(kInteger), E::sequence({E::optional(E::literal("-")), natural()})},
      {std::string(kObject), in_braces(list_of(member(E::rule(kKey), value)))},
      {std::string(kArray), in_brackets(list_of(value))},
      {std::string(kValue), E::choice({E::rule(kObject), E::rule(kArray), E::rule(kString), E::rule(kNumber),
                                       E::literal("true"), E::literal("false"), E::literal("null")})}};
}

Expression integer_between(std::optional<std::int64_t> min, std::optional<std::int64_t> max) {
  if (!min && !max) return E::rule(kInteger);
  const auto low = std::max(min.value_or(-kLargest), -kLargest);
  const auto high = std::min(max.value_or(kLargest), kLargest);
  std::vector<E> choices;
  if (low < 0 && low <= high) {
    choices.push_back(
        E::sequence({E::literal("-"), natural_between(std::max<std::int64_t>(-high, 1), -low)}));
  }
  if (high >= 0 && low <= high) choices.push_back(natural_between(std::max<std::int64_t>(low, 0), high));
  return E::choice(std::move(choices));
}

Expression number_between(std::optional<Bound> min, std::optional<Bound> max) {
  const auto low = min.value_or(Bound{-kLargest, false});
  const auto high = max.value_or(Bound{kLargest, false});
  std::vector<E> choices;
  if (low.value < 0) {  // below zero, mirrored; zero itself has no sign
    const auto nearest = high.value < 0 ? Bound{-high.value, high.open} : Bound{0, true};
    auto magnitude = magnitude_between(nearest, {-low.value, low.open});
    if (!magnitude.parts.empty()) choices.push_back(E::sequence({E::literal("-"), std::move(magnitude)}));
  }
  if (high.value >= 0) {
    auto magnitude = magnitude_between(low.value < 0 ? Bound{0, false} : low, high);
    if (!magnitude.parts.empty()) choices.push_back(std::move(magnitude));
  }
  return E::choice(std::move(choices));
}

Expression in_braces(Expression members) {
  return sequence_of(E::literal("{"), E::rule(kSpace), std::move(members), E::rule(kSpace), E::literal("}"));
}

Expression in_brackets(Expression items) {
  return sequence_of(E::literal("["), E::rule(kSpace), std::move(items), E::rule(kSpace), E::literal("]"));
}

Expression after_comma(Expression item) {
  return sequence_of(E::literal(","), E::rule(kSpace), std::move(item));
}

Expression member(Expression key, Expression value) {
  return sequence_of(std::move(key), E::literal(":"), E::rule(kSpace), std::move(value));
}

}  // namespace tandem::model::json_rules
