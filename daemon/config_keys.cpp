#include "daemon/config_keys.h"

#include <algorithm>
#include <stdexcept>

#include "embedded/config_schema.h"
#include "embedded/default_config.h"
#include "model/ordered_json.h"

namespace tandem::daemon {

namespace {

using Json = OrderedJson;

std::string value_of(const Json& schema) {
  if (schema.contains("$ref")) return schema.at("$ref") == "#/definitions/path" ? "FILE" : "SIZE";
  if (schema.value("type", Json()) == "array") return "[" + schema.value("title", "VALUE") + ", ...]";
  if (schema.value("type", Json()) == "boolean") return "true|false";
  if (!schema.contains("enum")) return schema.value("title", "VALUE");
  std::string text;
  for (const auto& word : schema.at("enum")) text += (text.empty() ? "" : "|") + word.get<std::string>();
  return text;
}

std::string range_of(const Json& schema) {
  if (!schema.contains("minimum") || !schema.contains("maximum")) return {};
  return "[" + schema.at("minimum").dump() + " - " + schema.at("maximum").dump() + "]";
}

void add_keys(std::vector<ConfigKey>& keys, const Json& schema, const Json& defaults,
              const std::string& path) {
  for (const auto& [name, key] : schema.at("properties").items()) {
    const auto& preset = defaults.at(name);
    const std::string about = key.value("description", "");
    if (key.contains("properties")) {
      keys.push_back({path + name, {}, about, {}, {}});
      add_keys(keys, key, preset, path + name + ".");
    } else {
      keys.push_back({path + name, value_of(key), about, range_of(key), preset.dump()});
    }
  }
}

}  // namespace

const std::vector<ConfigKey>& config_keys() {
  static const auto kKeys = [] {
    std::vector<ConfigKey> keys;
    const auto defaults = Json::parse(embedded::default_config, nullptr, true, /*ignore_comments=*/true);
    add_keys(keys, Json::parse(embedded::config_schema), defaults, "");
    return keys;
  }();
  return kKeys;
}

const ConfigKey& config_key(std::string_view name) {
  const auto found = std::ranges::find(config_keys(), name, &ConfigKey::name);
  if (found == config_keys().end()) throw std::out_of_range("no configuration key " + std::string(name));
  return *found;
}

}  // namespace tandem::daemon
