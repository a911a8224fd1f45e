#pragma once

#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

#include "daemon/json_schema.h"

namespace tandem::test_support {

/// valijson's opinion of what follows a schema, which is independent of Tandem's own grammars and writers.
using SchemaCheck = daemon::JsonSchema;

/// The schema in the file config/NAME.
inline SchemaCheck config_schema(const std::string& name) {
  std::ifstream file(TANDEM_SOURCE_DIR "/config/" + name);
  return SchemaCheck(nlohmann::json::parse(file));
}

}  // namespace tandem::test_support
