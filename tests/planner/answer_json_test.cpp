#include "planner/answer_json.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "planner/sweep.h"
#include "planner/targets.h"
#include "tests/planner/subjects.h"
#include "tests/support/schema_check.h"

namespace tandem::planner {
namespace {

using nlohmann::json;

TEST(AnswerJson, FollowsTheSchema) {
  const auto schema = test_support::config_schema("answer.schema.json");
  const auto setting = planner_test::default_setting("gemma3-27b-qat-q4_0");
  auto hopeless = setting;
  hopeless.budget.ram_bytes = 1;
  const std::vector<Answer> answers{max_context(setting),
                                    max_sequences(setting),
                                    min_vram(setting),
                                    compare({setting, planner_test::default_setting("gemma4-12b-qat-q4_0")}),
                                    sweep(setting, parse_sweep("context=4k:64k:x2")),
                                    what_reaches(setting, {TargetKind::decode_tok_per_s, 9}, known_gpus()),
                                    what_reaches(setting, {TargetKind::first_token_s, 9}, {}),
                                    max_context(hopeless),
                                    min_vram(hopeless)};
  EXPECT_TRUE(schema.accepts(json(answers_to_json(answers))));
  for (const auto* key : {"question", "searched", "answered", "rows"}) {
    auto damaged = json(answers_to_json(answers));
    damaged["answers"][0].erase(key);
    EXPECT_FALSE(schema.accepts(damaged)) << key;
  }
}

TEST(AnswerJson, SaysWhatThePlanSays) {
  const auto answer = max_context(planner_test::default_setting("gemma4-12b-qat-q4_0"));
  const auto document = json::parse(answers_to_text({answer}));
  EXPECT_EQ(document["schema"], "tandem.answer/1");
  const auto& row = document["answers"][0]["rows"][1];
  const auto& plan = *answer.rows[1].plan;
  EXPECT_EQ(row["label"], "all on the GPU");
  EXPECT_EQ(row["value"], plan.workload.max_seq_len);
  EXPECT_EQ(row["plan"]["vram_bytes"], plan.vram_bytes);
  EXPECT_EQ(row["plan"]["on_gpu"], (json{{"attention", 48}, {"ffn", 48}, {"head", true}}));
  EXPECT_EQ(row["plan"]["decode_tok_per_s"], plan.predicted.decode_tok_per_s);
  EXPECT_EQ(row["plan"]["first_token_s"], plan.workload.expected_context / plan.predicted.prefill_tok_per_s);
}

TEST(AnswerJson, AnUnansweredRowHasNulls) {
  auto setting = planner_test::default_setting("gemma3-27b-qat-q4_0");
  const auto document = json(answers_to_json({max_context(setting)}));
  EXPECT_TRUE(document["answers"][0]["rows"][1]["value"].is_null());
  EXPECT_TRUE(document["answers"][0]["rows"][1]["plan"].is_null());
  EXPECT_EQ(document["answers"][0]["rows"][1]["holds"], false);
}

}  // namespace
}  // namespace tandem::planner
