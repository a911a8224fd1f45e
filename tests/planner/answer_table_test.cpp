#include "planner/answer_table.h"

#include <sstream>

#include <gtest/gtest.h>

#include "planner/machine_table.h"
#include "planner/size_text.h"
#include "planner/sweep.h"
#include "planner/targets.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

void expect_80_columns(const std::string& text) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    EXPECT_LE(line.size(), 80U) << line;
    for (const unsigned char c : line) EXPECT_TRUE(c >= 0x20 && c < 0x7f) << line;
  }
}

TEST(AnswerTable, StaysWithin80Columns) {
  auto setting = planner_test::default_setting("gemma3-27b-qat-q4_0");
  expect_80_columns(answer_table(max_context(setting)));
  expect_80_columns(answer_table(min_vram(setting)));
  expect_80_columns(answer_table(sweep(setting, parse_sweep("vram=0:100GB:33333333333"))));
  expect_80_columns(answer_table(sweep(setting, parse_sweep("context=1:2m:x3"))));
  expect_80_columns(
      answer_table(what_reaches(setting, {TargetKind::decode_tok_per_s, 12.345}, known_gpus())));
  expect_80_columns(answer_table(compare({setting, planner_test::default_setting("gemma4-31b-q4_k_m")})));
  setting.budget.ram_bytes = 1;
  expect_80_columns(answer_table(max_context(setting)));
  expect_80_columns(machine_table());
}

TEST(AnswerTable, ShowsValuesAndMarks) {
  const auto setting = planner_test::default_setting("gemma3-27b-qat-q4_0");
  const auto answer = max_context(setting);
  const auto text = answer_table(answer);
  EXPECT_NE(text.find("yes fits"), std::string::npos) << text;
  EXPECT_NE(text.find(grouped(*answer.rows[0].value)), std::string::npos) << text;
  EXPECT_NE(text.find("no  all on the GPU"), std::string::npos) << text;
  EXPECT_NE(text.find("by bisection"), std::string::npos) << text;
  EXPECT_NE(text.find("trained for 131,072 tokens"), std::string::npos) << text;
}

TEST(MachineTable, ListsEveryPart) {
  const auto text = machine_table();
  const auto machines = machines_to_text();
  for (const auto& gpu : known_gpus()) {
    EXPECT_NE(text.find("\n  " + gpu.name + " "), std::string::npos) << gpu.name;
    EXPECT_NE(machines.find("\"" + gpu.name + "\""), std::string::npos) << gpu.name;
  }
  for (const auto& cpu : known_cpus())
    EXPECT_NE(text.find("\n  " + cpu.name + " "), std::string::npos) << cpu.name;
  for (const auto name : machine_names()) EXPECT_NE(text.find("\n  " + std::string(name)), std::string::npos);
}

}  // namespace
}  // namespace tandem::planner
