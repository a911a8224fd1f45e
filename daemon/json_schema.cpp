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

std::optional<Refusal> JsonSchema::refusal(const json& value) const {
  valijson::ValidationResults results;
  if (valijson::Validator().validate(compiled_->schema, NlohmannJsonAdapter(value), &results))
    return std::nullopt;
  // The innermost finding is the first one; the outer ones only say that something within is wrong.
  valijson::ValidationResults::Error error;
  if (!results.popError(error)) return Refusal{{}, "does not match the schema"};
  Refusal refusal{{}, error.description};
  for (std::size_t i = 1; i < error.context.size(); ++i) {  // the first is the root
    const std::string& step = error.context[i];             // "[key]"
    refusal.path.push_back(step.substr(1, step.size() - 2));
  }
  return refusal;
}

}  // namespace tandem::daemon
