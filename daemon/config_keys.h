#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tandem::daemon {

/// A key of the configuration as config.schema.json and default.json tell it.
struct ConfigKey {
  std::string name;   ///< "workload.context"
  std::string value;  ///< what it takes: "TOKENS", "f16|q8_0|f32"; empty for an object of keys
  std::string about;
  std::string range;         ///< "[1 - 1024]", empty for none
  std::string default_text;  ///< as JSON, empty for an object of keys
};

/// All of them, an object before the keys in it, in the schema's order.
const std::vector<ConfigKey>& config_keys();

/// The one called `name`.  Throws std::out_of_range if there is none.
const ConfigKey& config_key(std::string_view name);

}  // namespace tandem::daemon
