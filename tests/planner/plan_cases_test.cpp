// The questions of tests/data/plans and their answers; README.md there says how to write one.

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/answer_json.h"
#include "planner/errors.h"
#include "planner/machine_parts.h"
#include "planner/make_plan.h"
#include "planner/names.h"
#include "planner/plan_json.h"
#include "planner/size_text.h"
#include "planner/sweep.h"
#include "planner/targets.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using nlohmann::json;

struct Case {
  std::string name;
  json text;
};

void PrintTo(const Case& plan_case, std::ostream* out) {
  *out << plan_case.name;
}

std::vector<Case> all_cases() {
  std::vector<Case> cases;
  for (const auto& entry : std::filesystem::directory_iterator(TANDEM_SOURCE_DIR "/tests/data/plans")) {
    if (entry.path().extension() != ".json") continue;
    std::ifstream file(entry.path());
    cases.push_back({entry.path().stem().string(), json::parse(file)});
  }
  std::ranges::sort(cases, {}, &Case::name);
  return cases;
}

Setting setting_of(const json& question) {
  const std::string prefix = "catalogue:";
  const auto model = question.at("model").get<std::string>();
  EXPECT_TRUE(model.starts_with(prefix)) << model;
  const auto subject = planner_test::catalogue_subject(model.substr(prefix.size()));
  const auto machine = question.value("machine", "default");
  Budget budget;
  budget.vram_bytes = card_bytes(machine).value_or(budget.vram_bytes);
  if (question.contains("vram")) budget.vram_bytes = parse_size("vram", question["vram"].get<std::string>());
  if (question.contains("ram")) budget.ram_bytes = parse_size("ram", question["ram"].get<std::string>());
  auto workload = default_workload(subject.hyper);
  workload.max_seq_len = question.value("context", workload.max_seq_len);
  workload.expected_context = question.value("expect_context", workload.expected_context);
  workload.sequences = question.value("sequences", workload.sequences);
  workload.micro_batch = question.value("micro_batch", workload.micro_batch);
  if (question.contains("stream_rows")) workload.stream_rows = question["stream_rows"].get<std::uint32_t>();
  if (question.contains("optimise")) {
    workload.optimise = value_of(kOptimiseNames, question["optimise"].get<std::string>()).value();
  }
  if (question.contains("head_type")) {
    workload.head_type = value_of(kHeadTypeNames, question["head_type"].get<std::string>()).value();
  }
  if (question.contains("kv_type")) {
    workload.kv_type = value_of(kKvTypeNames, question["kv_type"].get<std::string>()).value();
  }
  const auto devices = parse_devices(question.value("devices", "auto"));
  return {subject.input, budget, workload, builtin_machine(machine), devices};
}

/// What `ask` asks: "max-context", "sweep vram=6GiB:8GiB:1GiB", "target-tps 20".
Answer answer_to(const std::string& ask, const Setting& setting) {
  const auto space = ask.find(' ');
  const auto question = ask.substr(0, space);
  const auto operand = space == std::string::npos ? "" : ask.substr(space + 1);
  if (question == "max-context") return max_context(setting);
  if (question == "max-sequences") return max_sequences(setting);
  if (question == "min-vram") return min_vram(setting);
  if (question == "sweep") return sweep(setting, parse_sweep(operand));
  if (question == "target-tps")
    return what_reaches(setting, {TargetKind::decode_tok_per_s, std::stod(operand)}, known_gpus());
  if (question == "target-ttft")
    return what_reaches(setting, {TargetKind::first_token_s, std::stod(operand)}, known_gpus());
  throw std::runtime_error("unknown question " + ask);
}

/// Plan JSON, or that of one answer where something else is asked.
json answer(const json& question) {
  const auto setting = setting_of(question);
  if (question.contains("ask")) {
    const auto found = answer_to(question["ask"].get<std::string>(), setting);
    return json(answers_to_json({found})).at("answers").at(0);
  }
  return json(plan_to_json(
      make_plan(setting.model, setting.budget, setting.workload, setting.machine, setting.devices)));
}

void check_arenas(const json& plan, const json& expected) {
  for (const auto& [line, bytes] : expected.items()) {
    std::uint64_t stated = 0;
    for (const auto& arena : plan.at("arenas")) {
      const auto name = arena.at("device").get<std::string>() + " " + arena.at("purpose").get<std::string>();
      if (name == line) stated = arena.at("bytes");
    }
    EXPECT_EQ(stated, bytes.get<std::uint64_t>()) << line;
  }
}

void check_layers(const json& plan, const json& expected) {
  for (const auto& [condition, range] : expected.items()) {
    const auto equals = condition.find('=');
    const auto key = condition.substr(0, equals);
    const auto value = condition.substr(equals + 1);
    const auto count = std::ranges::count_if(plan.at("layers"), [&](const json& layer) {
      const auto& stated = layer.at(key);
      return (stated.is_string() ? stated.get<std::string>() : stated.dump()) == value;
    });
    EXPECT_GE(count, range.at(0).get<std::int64_t>()) << condition;
    EXPECT_LE(count, range.at(1).get<std::int64_t>()) << condition;
  }
}

void check_rows(const json& answer, const json& expected) {
  for (const auto& [label, values] : expected.items()) {
    const json* row = nullptr;
    for (const auto& candidate : answer.at("rows")) {
      if (candidate.at("label") == label) row = &candidate;
    }
    ASSERT_NE(row, nullptr) << "no row " << label;
    for (const auto& [at, value] : values.items())
      EXPECT_EQ(row->at(json::json_pointer(at)), value) << label << at;
  }
}

void check_reasons(const json& plan, const json& expected) {
  for (const auto& text : expected) {
    const bool said = std::ranges::any_of(plan.at("reasons"), [&text](const json& reason) {
      return reason.get<std::string>().find(text.get<std::string>()) != std::string::npos;
    });
    EXPECT_TRUE(said) << text << " is not among " << plan.at("reasons").dump(1);
  }
}

void check_answer(const json& plan, const json& expect) {
  for (const auto& [key, expectation] : expect.items()) {
    if (key == "equal") {
      for (const auto& [at, value] : expectation.items())
        EXPECT_EQ(plan.at(json::json_pointer(at)), value) << at;
    } else if (key == "between") {
      for (const auto& [at, range] : expectation.items()) {
        EXPECT_GE(plan.at(json::json_pointer(at)), range.at(0)) << at;
        EXPECT_LE(plan.at(json::json_pointer(at)), range.at(1)) << at;
      }
    } else if (key == "arenas") {
      check_arenas(plan, expectation);
    } else if (key == "layers") {
      check_layers(plan, expectation);
    } else if (key == "rows") {
      check_rows(plan, expectation);
    } else if (key == "reasons") {
      check_reasons(plan, expectation);
    } else {
      ADD_FAILURE() << "unknown expectation " << key;
    }
  }
}

class PlanCase : public testing::TestWithParam<Case> {};

TEST_P(PlanCase, IsAnsweredAsExpected) {
  const auto& question = GetParam().text;
  const auto& expect = question.at("expect");
  if (!expect.contains("error")) {
    check_answer(answer(question), expect);
    return;
  }
  try {
    answer(question);
    ADD_FAILURE() << "was not refused";
  } catch (const BadQuestion& refusal) {
    EXPECT_NE(std::string(refusal.what()).find(expect["error"].get<std::string>()), std::string::npos)
        << refusal.what();
  }
}

/// The case's name as a test's: letters and digits.
std::string test_name(const testing::TestParamInfo<Case>& parameter) {
  auto name = parameter.param.name;
  const auto is_other = [](unsigned char c) { return std::isalnum(c) == 0; };
  std::ranges::replace_if(name, is_other, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Data, PlanCase, testing::ValuesIn(all_cases()), test_name);

TEST(PlanCases, AreThere) {
  EXPECT_GE(all_cases().size(), 40U);
}

}  // namespace
}  // namespace tandem::planner
