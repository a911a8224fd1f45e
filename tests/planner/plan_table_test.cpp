#include "planner/plan_table.h"

#include <sstream>

#include <gtest/gtest.h>

#include "planner/make_plan.h"
#include "planner/size_text.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

std::string table(const std::string& model, const Budget& budget, const Workload& workload) {
  const auto subject = planner_test::catalogue_subject(model);
  return plan_table(make_plan(subject.input, budget, workload, builtin_machine("default"), {}));
}

void expect_80_columns(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    for (const unsigned char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
  }
}

TEST(PlanTable, StaysWithin80Columns) {
  Workload long_context;
  long_context.max_seq_len = 1'000'000;
  long_context.sequences = 100;
  Budget small;
  small.vram_bytes = 6'000'000'000;
  small.ram_bytes = 8'000'000'000;
  for (const auto* model :
       {"gemma3-4b-qat-q4_0", "gemma3-27b-bf16", "gemma4-12b-qat-q4_0", "gemma4-31b-q4_k_m"}) {
    expect_80_columns(table(model, Budget{}, Workload{}));
    expect_80_columns(table(model, small, long_context));
  }
}

TEST(PlanTable, ShowsEveryArenaToTheByte) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  const auto text = plan_table(plan);
  for (const auto& arena : plan.arenas)
    EXPECT_NE(text.find(grouped(arena.bytes)), std::string::npos) << arena.bytes;
  EXPECT_NE(text.find(grouped(plan.vram_bytes)), std::string::npos);
  EXPECT_NE(text.find(grouped(plan.ram_bytes)), std::string::npos);
}

TEST(PlanTable, DrawsALayerForEachLayer) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const auto plan = make_plan(subject.input, Budget{}, Workload{}, builtin_machine("default"), {});
  std::string ffn;
  for (const auto& layer : plan.layers) ffn += layer.ffn_device == Device::cpu ? '.' : '#';
  EXPECT_NE(plan_table(plan).find(ffn), std::string::npos);
}

TEST(PlanTable, SaysWhatIsMissing) {
  Budget budget;
  budget.ram_bytes = 1'000'000'000;
  const auto text = table("gemma3-27b-qat-q4_0", budget, Workload{});
  EXPECT_NE(text.find("does not fit"), std::string::npos);
  EXPECT_NE(text.find("bytes of RAM too few"), std::string::npos);
}

}  // namespace
}  // namespace tandem::planner
