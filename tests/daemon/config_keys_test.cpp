#include "daemon/config_keys.h"

#include <set>
#include <stdexcept>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "daemon/config.h"

namespace tandem::daemon {
namespace {

using nlohmann::json;

void collect(const json& tree, const std::string& path, std::set<std::string>& names) {
  for (const auto& [name, value] : tree.items()) {
    names.insert(path + name);
    if (value.is_object()) collect(value, path + name + ".", names);
  }
}

TEST(ConfigKeys, AreThoseOfTheDocumentedFile) {
  std::set<std::string> documented;
  collect(read_config_file(TANDEM_SOURCE_DIR "/config/default.json"), "", documented);
  std::set<std::string> names;
  for (const auto& key : config_keys()) names.insert(key.name);
  EXPECT_EQ(names, documented);
}

TEST(ConfigKeys, AreAllExplained) {
  for (const auto& key : config_keys()) {
    EXPECT_THAT(key.about, ::testing::Not(::testing::IsEmpty())) << key.name;
    EXPECT_THAT(key.value, ::testing::Not(::testing::HasSubstr("VALUE"))) << key.name << " needs a title";
  }
}

TEST(ConfigKeys, SayWhatTheyTake) {
  EXPECT_EQ(config_key("model").value, "FILE");
  EXPECT_EQ(config_key("model").default_text, "null");
  EXPECT_EQ(config_key("budget.vram").value, "SIZE");
  EXPECT_EQ(config_key("workload.kv_type").value, "f16|q8_0|f32");
  EXPECT_EQ(config_key("workload.sequences").value, "COUNT");
  EXPECT_EQ(config_key("workload.sequences").range, "[1 - 1024]");
  EXPECT_EQ(config_key("workload.sequences").default_text, "4");
  EXPECT_EQ(config_key("socket.proxy_uids").value, "[UID, ...]");
  EXPECT_EQ(config_key("limits").value, "");
  EXPECT_THROW(config_key("limit"), std::out_of_range);
}

}  // namespace
}  // namespace tandem::daemon
