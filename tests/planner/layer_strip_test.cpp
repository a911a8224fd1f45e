#include "planner/layer_strip.h"

#include <sstream>

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

/// What stands right of the 12 columns of `label`'s line.
std::string row_of(const std::string& strip, const std::string& label) {
  std::istringstream lines(strip);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(label)) return line.substr(12);
  }
  return "";
}

Plan seven_layers() {
  const auto subject = planner_test::seven_layer_subject();
  auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  plan.layers[0].ffn_device = Device::cpu;
  plan.layers[2].attention_device = Device::cpu;
  plan.layers[4].ffn_gpu_rows = 256;
  plan.head.device = Device::cpu;
  return plan;
}

TEST(KvLevel, IsNinthsRoundedUp) {
  EXPECT_EQ(kv_level(0, 9), 0);
  EXPECT_EQ(kv_level(1, 900), 1);
  EXPECT_EQ(kv_level(100, 900), 1);
  EXPECT_EQ(kv_level(101, 900), 2);
  EXPECT_EQ(kv_level(900, 900), 9);
  EXPECT_EQ(kv_level(5, 0), 0);
}

TEST(LayerStrip, ShowsEveryHalf) {
  auto plan = seven_layers();
  plan.workload.stream_rows = 0;
  const auto strip = layer_strip(plan, Ink::plain);
  EXPECT_EQ(row_of(strip, "layers"), "sssssGs");
  EXPECT_EQ(row_of(strip, "  attention"), "##.####");
  EXPECT_EQ(row_of(strip, "  FFN"), ".###+##");
  EXPECT_EQ(row_of(strip, "  head"), ".  Q6_K");
  // 1,024 of 8,192 cells x 8 KiB, and 8,192 x 1 KiB: as many bytes.
  EXPECT_EQ(row_of(strip, "  KV"), "9999999");
  EXPECT_NE(strip.find("+ shared"), std::string::npos);
}

TEST(LayerStrip, MarksFfnHalvesThatPromptsStream) {
  auto plan = seven_layers();
  plan.workload.stream_rows = 32;
  const auto strip = layer_strip(plan, Ink::plain);
  EXPECT_EQ(row_of(strip, "  FFN"), ":###+##");
  EXPECT_NE(strip.find(": CPU, streamed"), std::string::npos);
  plan.workload.stream_rows = 0;
  EXPECT_EQ(layer_strip(plan, Ink::plain).find("streamed"), std::string::npos);
}

TEST(LayerStrip, KvIsRelativeToTheLargest) {
  auto plan = seven_layers();
  for (auto& layer : plan.layers) layer.kv_bytes = 100;
  plan.layers[5].kv_bytes = 900;
  const auto strip = layer_strip(plan, Ink::plain);
  EXPECT_EQ(row_of(strip, "  KV"), "1111191");
  EXPECT_NE(strip.find("9 is 900 B"), std::string::npos);
}

TEST(LayerStrip, StaysWithin80Columns) {
  auto plan = seven_layers();
  for (int i = 0; i < 200; ++i) plan.layers.push_back(plan.layers[4]);
  std::istringstream lines(layer_strip(plan, Ink::plain));
  for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80U) << line;
}

}  // namespace
}  // namespace tandem::planner
