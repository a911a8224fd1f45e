#include "model/json_schema_numbers.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "model/json_rules.h"
#include "model/ordered_json.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;

constexpr double kBeyond = 1e16;  // no integer has so many digits

/// "minimum" and its like.
struct Limit {
  double value = 0;
  bool open = false;  ///< the value itself is out
};

/// The tighter one of an inclusive and an exclusive limit.
std::optional<Limit> limit_of(const Json& schema, const char* key, const char* exclusive_key, bool is_lower,
                              const std::string& path) {
  std::optional<Limit> tightest;
  for (const auto* name : {key, exclusive_key}) {
    const auto value = schema.find(name);
    if (value == schema.end()) continue;
    if (!value->is_number()) refuse_schema(path, "\"" + std::string(name) + "\" is not a number");
    const Limit found = {value->get<double>(), name == exclusive_key};
    const bool tighter =
        !tightest || (is_lower ? found.value >= tightest->value : found.value <= tightest->value);
    if (tighter) tightest = found;
  }
  return tightest;
}

Expression in_range(Expression range, const std::string& path) {
  if (range.kind == Expression::Kind::choice && range.parts.empty())
    refuse_schema(path, "allows nothing of at most 16 digits");
  return range;
}

}  // namespace

void refuse_schema(const std::string& path, const std::string& problem, std::string hint) {
  throw GrammarError("JSON schema: " + (path.empty() ? "/" : path) + ": " + problem, std::move(hint));
}

Expression integer_of_schema(const Json& schema, const std::string& path) {
  const auto inclusive = [](const std::optional<Limit>& limit, std::int64_t inwards) {
    if (!limit) return std::optional<std::int64_t>();
    const auto nearest =
        std::clamp(inwards > 0 ? std::ceil(limit->value) : std::floor(limit->value), -kBeyond, kBeyond);
    const bool is_out = limit->open && nearest == limit->value;
    return std::optional(static_cast<std::int64_t>(nearest) + (is_out ? inwards : 0));
  };
  const auto min = inclusive(limit_of(schema, "minimum", "exclusiveMinimum", true, path), 1);
  const auto max = inclusive(limit_of(schema, "maximum", "exclusiveMaximum", false, path), -1);
  return in_range(json_rules::integer_between(min, max), path);
}

Expression number_of_schema(const Json& schema, const std::string& path) {
  const auto whole = [&](const std::optional<Limit>& limit) {
    if (!limit) return std::optional<json_rules::Bound>();
    const bool fits = std::trunc(limit->value) == limit->value && std::abs(limit->value) <= 1e15;
    if (!fits) refuse_schema(path, "bounds of numbers are supported as whole numbers of at most 15 digits");
    return std::optional(json_rules::Bound{static_cast<std::int64_t>(limit->value), limit->open});
  };
  const auto min = whole(limit_of(schema, "minimum", "exclusiveMinimum", true, path));
  const auto max = whole(limit_of(schema, "maximum", "exclusiveMaximum", false, path));
  if (!min && !max) return Expression::rule(json_rules::kNumber);
  return in_range(json_rules::number_between(min, max), path);
}

}  // namespace tandem::model
