#include "planner/plan_json.h"

#include <functional>
#include <iterator>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/errors.h"
#include "planner/make_plan.h"
#include "tests/planner/subjects.h"
#include "tests/support/schema_check.h"

namespace tandem::planner {
namespace {

using nlohmann::json;
using planner_test::pick;

Plan random_plan(std::mt19937& random) {
  const auto subject = planner_test::random_subject(random);
  Budget budget;
  budget.vram_bytes = pick(random, 0, 4'000'000);
  budget.ram_bytes = pick(random, 0, 8'000'000);
  auto machine = builtin_machine("default");
  machine.driver_bytes = 4096;
  const Devices devices = pick(random, 0, 3) == 0 ? Devices{std::nullopt} : Devices{Device::cuda0};
  return make_plan(subject.input, budget, planner_test::random_workload(random), machine, devices);
}

/// A plan with all there is to corrupt: both devices, both kinds of layers, a head on the GPU.
Plan split_plan() {
  Budget budget;
  budget.vram_bytes = 2'000'000'000;
  budget.vram_reserve_bytes = 100'000'000;
  budget.ram_reserve_bytes = 1'000'000;
  Workload workload;
  workload.max_seq_len = 20'000;
  const auto subject = planner_test::seven_layer_subject();
  return make_plan(subject.input, budget, workload, builtin_machine("default"), {Device::cuda0});
}

/// On the CPU alone, with too little RAM.
Plan short_plan() {
  Budget budget;
  budget.ram_bytes = 2'000'000'000;
  Workload workload;
  workload.max_seq_len = 262'144;
  const auto subject = planner_test::seven_layer_subject();
  return make_plan(subject.input, budget, workload, builtin_machine("default"), {std::nullopt});
}

bool refused(const json& plan) {
  try {
    parse_plan(plan.dump());
    return false;
  } catch (const BadPlan&) {
    return true;
  }
}

/// Calls `visit` with the JSON pointer of every value within `value`, containers included.
void for_each_value(const json& value, const json::json_pointer& at,
                    const std::function<void(const json::json_pointer&)>& visit) {
  if (!at.empty()) visit(at);
  if (value.is_object()) {
    for (const auto& [key, member] : value.items()) for_each_value(member, at / key, visit);
  } else if (value.is_array()) {
    for (std::size_t i = 0; i < value.size(); ++i) for_each_value(value[i], at / i, visit);
  }
}

TEST(PlanJson, ComesBackAsItWent) {
  std::mt19937 random(21);
  for (int round = 0; round < 100; ++round) {
    const auto plan = random_plan(random);
    EXPECT_EQ(parse_plan(plan_to_text(plan)), plan);
    EXPECT_EQ(json::parse(plan_to_text(plan)), json(plan_to_json(plan)));
  }
}

TEST(PlanJson, FollowsTheSchema) {
  const auto schema = test_support::config_schema("plan.schema.json");
  std::mt19937 random(22);
  int misfits = 0;
  for (int round = 0; round < 60; ++round) {
    const auto plan = random_plan(random);
    EXPECT_TRUE(schema.accepts(json(plan_to_json(plan))));
    misfits += plan.fits ? 0 : 1;
  }
  EXPECT_GT(misfits, 0);
  EXPECT_TRUE(schema.accepts(json(plan_to_json(split_plan()))));
  EXPECT_TRUE(schema.accepts(json(plan_to_json(short_plan()))));
}

/// Numbers that stand on their own: any value in range is as consistent as another.
bool is_free_number(const std::string& at) {
  for (const auto* free :
       {"/model/tensors", "/model/missing_bytes", "/model/context_length", "/predicted/", "/requested/",
        "/workload/draft_rows", "/workload/stream_rows", "/workload/micro_batch",
        "/workload/expected_context", "/largest_context", "/budget/"}) {
    if (at.starts_with(free)) return true;
  }
  return false;
}

/// Keys that older plans do not have.
bool is_newer(const std::string& at) {
  return at == "/workload/cpu_weights" || at == "/requested/cpu_weights";
}

/// `plan` with `value` at `at`.
json with(json plan, const json::json_pointer& at, json value) {
  plan[at] = std::move(value);
  return plan;
}

json without(json plan, const json::json_pointer& at) {
  auto& parent = plan.at(at.parent_pointer());
  if (parent.is_array()) {
    parent.erase(std::stoul(at.back()));
  } else {
    parent.erase(at.back());
  }
  return plan;
}

void refuses_corruptions_of_value(const json& plan, const json::json_pointer& at) {
  const auto& value = plan.at(at);
  EXPECT_TRUE(refused(with(plan, at, json::array({json::object()})))) << "another type at " << at;
  if (value.is_number_unsigned() && !is_free_number(at.to_string())) {
    EXPECT_TRUE(refused(with(plan, at, value.get<std::int64_t>() + 1))) << "one more at " << at;
    EXPECT_TRUE(refused(with(plan, at, value.get<std::int64_t>() - 1))) << "one less at " << at;
  }
  if (value.is_boolean()) {
    EXPECT_TRUE(refused(with(plan, at, !value.get<bool>()))) << "turned round at " << at;
  }
  if (value.is_object()) {
    EXPECT_TRUE(refused(with(plan, at / "fitz", 1))) << "a key more in " << at;
  }
  if (value != "cpu" && value != "cuda0") return;
  for (const auto* device : {"cpu", "cuda0", "emulated0"}) {
    EXPECT_TRUE(value == device || refused(with(plan, at, device))) << device << " at " << at;
  }
}

void refuses_every_corruption(const json& plan) {
  ASSERT_FALSE(refused(plan));
  for_each_value(plan, json::json_pointer(), [&plan](const json::json_pointer& at) {
    refuses_corruptions_of_value(plan, at);
    const bool is_reason = at.to_string().starts_with("/reasons/");
    EXPECT_EQ(refused(without(plan, at)), !is_reason && !is_newer(at.to_string())) << "without " << at;
  });
}

TEST(PlanJson, EveryKeyIsInTheSchemaAndMissedThere) {
  const auto schema = test_support::config_schema("plan.schema.json");
  const json plan(plan_to_json(split_plan()));
  for_each_value(plan, json::json_pointer(), [&](const json::json_pointer& at) {
    if (plan.at(at.parent_pointer()).is_array()) return;
    EXPECT_EQ(schema.accepts(without(plan, at)), is_newer(at.to_string())) << at;
    EXPECT_FALSE(schema.accepts(with(plan, at, json::array({json::object()})))) << at;
  });
}

TEST(PlanJson, APlanThatDoesNotSayHowTheCpusWeightsLieIsFromBeforeAnyWereRepacked) {
  const json plan(plan_to_json(split_plan()));
  ASSERT_EQ(plan.at("workload").at("cpu_weights"), "repacked");
  EXPECT_EQ(parse_plan(plan.dump()).workload.cpu_weights, CpuWeights::repacked);
  EXPECT_EQ(parse_plan(with(plan, json::json_pointer("/workload/cpu_weights"), "mapped").dump())
                .workload.cpu_weights,
            CpuWeights::mapped);
  const auto older = without(plan, json::json_pointer("/workload/cpu_weights"));
  EXPECT_EQ(parse_plan(older.dump()).workload.cpu_weights, CpuWeights::mapped);
  EXPECT_EQ(parse_plan(older.dump()).requested.cpu_weights, CpuWeights::repacked);
}

TEST(PlanJson, TheExamplesHaveAllThereIsToCorrupt) {
  const auto split = split_plan();
  EXPECT_TRUE(split.fits);
  EXPECT_EQ(split.head.device, Device::cuda0);
  EXPECT_GT(split.stages.size(), 1U);
  EXPECT_FALSE(short_plan().fits);
  EXPECT_TRUE(short_plan().largest_context);
}

TEST(PlanJson, DamagedTextIsRefusedOrReadNeverWorse) {
  std::mt19937 random(23);
  const auto text = plan_to_text(split_plan());
  int survived = 0;
  for (int round = 0; round < 3000; ++round) {
    auto damaged = text;
    for (auto flips = pick(random, 1, 3); flips-- > 0;) {
      damaged[pick(random, 0, damaged.size() - 1)] = static_cast<char>(pick(random, 0, 255));
    }
    if (pick(random, 0, 9) == 0) damaged.resize(pick(random, 0, damaged.size()));
    try {
      parse_plan(damaged);
      ++survived;
    } catch (const BadPlan&) {
    }
  }
  EXPECT_LT(survived, 1500);
}

TEST(PlanJson, RefusesEveryCorruptionOfASplitPlan) {
  refuses_every_corruption(json(plan_to_json(split_plan())));
}

TEST(PlanJson, RefusesEveryCorruptionOfAPlanThatDoesNotFit) {
  refuses_every_corruption(json(plan_to_json(short_plan())));
}

TEST(PlanJson, RefusesABudgetThatContradictsArenasOrShortfalls) {
  const json split(plan_to_json(split_plan()));
  EXPECT_TRUE(refused(with(split, json::json_pointer("/budget/vram_reserve_bytes"), 99'999'999)));
  EXPECT_TRUE(refused(with(split, json::json_pointer("/budget/ram_reserve_bytes"), 0)));
  EXPECT_TRUE(refused(with(split, json::json_pointer("/budget/vram_bytes"), 1'500'000'000)));
  const json misfit(plan_to_json(short_plan()));
  EXPECT_TRUE(refused(with(misfit, json::json_pointer("/budget/ram_bytes"), 2'000'000'001)));
}

TEST(PlanJson, NamesTheKey) {
  const json plan(plan_to_json(split_plan()));
  const auto message_of = [](const json& corrupt) -> std::string {
    try {
      parse_plan(corrupt.dump());
    } catch (const BadPlan& error) {
      return error.what();
    }
    return "accepted";
  };
  auto corrupt = plan;
  corrupt["layers"][3]["kv_bytes"] = -5;
  EXPECT_NE(message_of(corrupt).find("layers[3].kv_bytes"), std::string::npos) << message_of(corrupt);
  corrupt = plan;
  corrupt["layers"][6]["kv_device"] = "tpu";
  EXPECT_NE(message_of(corrupt).find("layers[6].kv_device"), std::string::npos) << message_of(corrupt);
  corrupt = plan;
  corrupt["totals"]["vram_bytes"] = 1;
  EXPECT_NE(message_of(corrupt).find("totals.vram_bytes"), std::string::npos) << message_of(corrupt);
  corrupt = plan;
  corrupt["budget"]["vram_byte"] = 1;
  EXPECT_NE(message_of(corrupt).find("vram_bytes"), std::string::npos) << message_of(corrupt);
}

TEST(PlanJson, RefusesWhatIsNoPlan) {
  for (const auto* text :
       {"", "null", "[]", "{}", "{\"schema\": \"tandem.plan/2\"}", "{\"schema\": 1}", "nonsense",
        "{\"schema\": 1e999}", "{\"schema\": \"tandem.plan/1\"", "{\"schema\": \"tandem.plan/1\"} {}"}) {
    EXPECT_THROW(parse_plan(text), BadPlan) << text;
  }
}

TEST(PlanJson, RefusesNumbersThatWouldOverflow) {
  const auto huge = ~std::uint64_t{0};
  json plan(plan_to_json(split_plan()));
  plan["layers"][0]["weight_bytes"] = huge;
  plan["layers"][1]["weight_bytes"] = huge;
  EXPECT_TRUE(refused(plan));
  plan = json(plan_to_json(split_plan()));
  plan["arenas"][0]["bytes"] = huge;
  EXPECT_TRUE(refused(plan));
}

}  // namespace
}  // namespace tandem::planner
