#include "daemon/json_schema.h"

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validation_results.hpp>
#include <valijson/validator.hpp>

namespace tandem::daemon {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

struct JsonSchema::Compiled {
  valijson::Schema schema;
};

JsonSchema::JsonSchema(const json& schema) {
  auto compiled = std::make_unique<Compiled>();
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(NlohmannJsonAdapter(schema), compiled->schema);
  compiled_ = std::move(compiled);
}

JsonSchema::~JsonSchema() = default;
JsonSchema::JsonSchema(JsonSchema&&) noexcept = default;
JsonSchema& JsonSchema::operator=(JsonSchema&&) noexcept = default;

bool JsonSchema::accepts(const json& value) const {
  return !refusal(value).has_value();
}

std::optional<std::string> JsonSchema::refusal(const json& value) const {
  valijson::ValidationResults results;
  if (valijson::Validator().validate(compiled_->schema, NlohmannJsonAdapter(value), &results))
    return std::nullopt;
  // The innermost finding is the first one; the outer ones only say that something within is wrong.
  valijson::ValidationResults::Error error;
  if (!results.popError(error)) return "does not match the schema";
  std::string where;
  for (std::size_t i = 1; i < error.context.size(); ++i) where += error.context[i];
  return where.empty() ? error.description : where + ": " + error.description;
}

}  // namespace tandem::daemon
