#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/grammar.h"
#include "model/ordered_json.h"

namespace tandem::model::json_rules {

// Pieces of JSON, for grammars that make it.  The names are those of rules().

inline constexpr std::string_view kSpace = "space";
inline constexpr std::string_view kString = "string";
inline constexpr std::string_view kNumber = "number";
inline constexpr std::string_view kInteger = "integer";
inline constexpr std::string_view kObject = "object";
inline constexpr std::string_view kArray = "array";
inline constexpr std::string_view kValue = "value";
inline constexpr std::string_view kKey = "key";

/// How values are written: as JSON, or as something with JSON's structure, numbers and words.
struct Notation {
  std::vector<GrammarRule> rules;  ///< of all of the above
  /// A string of `min` to `max` characters.
  Expression (*string_of)(std::uint32_t min, std::uint32_t max) = nullptr;
  /// A string of these characters, none of which needs an escape.
  Expression (*string_with)(Expression characters) = nullptr;
  /// Exactly this value, written without spaces.
  Expression (*constant)(const OrderedJson& value) = nullptr;
  /// Exactly this key of an object.
  Expression (*key)(const std::string& name) = nullptr;
};

/// JSON; an escape in a string counts as one character.
Notation json_notation();

/// The rules of a notation that writes white space, strings and keys like this.
std::vector<GrammarRule> rules_with(Expression space, Expression string, Expression key);

/// Bounds of integers and numbers lie between -kLargest and kLargest, of 16 digits.
inline constexpr std::int64_t kLargest = 9'999'999'999'999'999;

/// An integer within bounds, where there are any.  A choice of nothing where they leave none.
Expression integer_between(std::optional<std::int64_t> min, std::optional<std::int64_t> max);

/// The end of a range of numbers.
struct Bound {
  std::int64_t value = 0;  ///< of at most 16 digits
  bool open = false;       ///< the value itself is out
};

/// A number without exponent within bounds.  A choice of nothing where they leave none.
Expression number_between(std::optional<Bound> min, std::optional<Bound> max);

/// "{" members "}" and "[" items "]"; what is between may be empty.
Expression in_braces(Expression members);
Expression in_brackets(Expression items);

/// A comma and space before what follows.
Expression after_comma(Expression item);

/// KEY: value, KEY being an expression that makes a string.
Expression member(Expression key, Expression value);

}  // namespace tandem::model::json_rules
