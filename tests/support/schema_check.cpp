#include "tests/support/schema_check.h"

#include <fstream>

#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

namespace tandem::test_support {

using nlohmann::json;
using valijson::adapters::NlohmannJsonAdapter;

struct SchemaCheck::Compiled {
  valijson::Schema schema;
};

SchemaCheck::SchemaCheck(const json& schema) {
  auto compiled = std::make_unique<Compiled>();
  valijson::SchemaParser(valijson::SchemaParser::kDraft7)
      .populateSchema(NlohmannJsonAdapter(schema), compiled->schema);
  compiled_ = std::move(compiled);
}

SchemaCheck::~SchemaCheck() = default;

SchemaCheck SchemaCheck::of_config(const std::string& name) {
  std::ifstream file(TANDEM_SOURCE_DIR "/config/" + name);
  return SchemaCheck(json::parse(file));
}

bool SchemaCheck::accepts(const json& value) const {
  return valijson::Validator().validate(compiled_->schema, NlohmannJsonAdapter(value), nullptr);
}

}  // namespace tandem::test_support
