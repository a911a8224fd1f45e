#include "planner/sweep.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using Values = std::vector<std::uint64_t>;
constexpr std::uint64_t kGiB = 1ULL << 30;

TEST(ParseSweep, AddsOrMultiplies) {
  EXPECT_EQ(parse_sweep("vram=6GiB:9GiB:1GiB").values, (Values{6 * kGiB, 7 * kGiB, 8 * kGiB, 9 * kGiB}));
  EXPECT_EQ(parse_sweep("vram=6GiB:9GiB:2GiB").values, (Values{6 * kGiB, 8 * kGiB}));
  EXPECT_EQ(parse_sweep("context=4k:32k:x2").values, (Values{4096, 8192, 16384, 32768}));
  EXPECT_EQ(parse_sweep("context=1000:5000:x3").values, (Values{1000, 3000}));
  EXPECT_EQ(parse_sweep("sequences=1:4:1").values, (Values{1, 2, 3, 4}));
  EXPECT_EQ(parse_sweep("ram=5:5:1").values, (Values{5}));
  EXPECT_EQ(parse_sweep("vram=0:2:1").values, (Values{0, 1, 2}));
  EXPECT_EQ(parse_sweep("ram=1GB:2GB:500MB").variable, SweepVariable::ram);
}

TEST(ParseSweep, EndsAtTheEndOfNumbers) {
  EXPECT_EQ(parse_sweep("vram=9223372036854775808:18446744073709551615:x2").values.size(), 1U);
  EXPECT_EQ(parse_sweep("vram=18446744073709551614:18446744073709551615:1").values.size(), 2U);
}

TEST(ParseSweep, HasALimit) {
  EXPECT_EQ(parse_sweep("ram=1:512:1").values.size(), kMaxSweepPoints);
  try {
    parse_sweep("ram=1:513:1");
    FAIL();
  } catch (const BadQuestion& error) {
    EXPECT_NE(std::string(error.what()).find("more than 512 points"), std::string::npos) << error.what();
  }
}

TEST(ParseSweep, RefusesNonsense) {
  for (const auto* text : {"",
                           "vram",
                           "vram=",
                           "vram=1:2",
                           "vram=1:2:3:4",
                           "vram=2:1:1",
                           "vram=1:2:0",
                           "vram=0:9:x2",
                           "vram=1:9:x1",
                           "vram=1:9:x0",
                           "vram=1:9:x",
                           "vram=1:9:x-2",
                           "vram=a:b:c",
                           "vram=-1:2:1",
                           "disk=1:2:1",
                           "=1:2:1",
                           "context=1:2147483648:1",
                           "context=4GiB:8GiB:1GiB",
                           "sequences=1:4097:1",
                           "vram=1:2:1e0",
                           "vram=::"}) {
    EXPECT_THROW(parse_sweep(text), BadQuestion) << text;
  }
}

TEST(ParseSweep, NamesTheNearestVariable) {
  try {
    parse_sweep("contxt=1:2:1");
    FAIL();
  } catch (const BadQuestion& error) {
    EXPECT_NE(std::string(error.what()).find("\"context\""), std::string::npos) << error.what();
  }
}

TEST(ParseSweep, ReadsOrRefusesAnyText) {
  std::mt19937 random(61);
  constexpr std::string_view kPieces = "vram=ram=context=sequences=1234567890:::xkmGiB.-+ ";
  int read = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string text = round % 2 == 0 ? "context=4k:256k:x2" : "vram=6GiB:24GiB:1GiB";
    for (auto edits = planner_test::pick(random, 1, 3); edits > 0 && !text.empty(); --edits) {
      const auto at = planner_test::pick(random, 0, text.size() - 1);
      const char piece = kPieces[planner_test::pick(random, 0, kPieces.size() - 1)];
      text.replace(at, planner_test::pick(random, 0, 2), planner_test::pick(random, 0, 2), piece);
    }
    try {
      const auto sweep = parse_sweep(text);
      ++read;
      EXPECT_FALSE(sweep.values.empty()) << text;
      EXPECT_LE(sweep.values.size(), kMaxSweepPoints) << text;
      EXPECT_TRUE(std::ranges::is_sorted(sweep.values)) << text;
    } catch (const BadQuestion&) {
    }
  }
  EXPECT_GT(read, 1000);
  EXPECT_LT(read, 19'000);
}

TEST(ParseTokens, KnowsThousandsOf1024) {
  EXPECT_EQ(parse_tokens("x", "4k", 1'000'000), 4096U);
  EXPECT_EQ(parse_tokens("x", "4K", 4096), 4096U);
  EXPECT_EQ(parse_tokens("x", "2m", kMaxContext), 2'097'152U);
  EXPECT_EQ(parse_tokens("x", "77", 77), 77U);
  for (const auto* text : {"", "k", "4kk", "-4k", "4.5k", "5k", "9223372036854775807k", "4g"})
    EXPECT_THROW(parse_tokens("x", text, 4096), BadQuestion) << text;
  try {
    parse_tokens("--micro-batch", "64k", 65535);
    FAIL();
  } catch (const BadQuestion& refused) {
    EXPECT_STREQ(refused.what(), "--micro-batch \"64k\" must be a whole number up to 65535");
  }
}

TEST(Sweep, PlansEachValueAsAsked) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const Setting setting{
      subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
  const auto by_vram = sweep(setting, parse_sweep("vram=8GiB:24GiB:8GiB"));
  ASSERT_EQ(by_vram.rows.size(), 3U);
  for (const auto& row : by_vram.rows) {
    auto budget = setting.budget;
    budget.vram_bytes = *row.value;
    const auto plan = make_plan(setting.model, budget, setting.workload, setting.machine, setting.devices);
    EXPECT_EQ(row.plan->arenas, plan.arenas);
    EXPECT_EQ(row.plan->stages, plan.stages);
    EXPECT_EQ(row.plan->predicted, plan.predicted);
    EXPECT_EQ(row.holds, plan.fits);
  }
  EXPECT_EQ(by_vram.rows[0].label, "8 GiB");

  const auto by_context = sweep(setting, parse_sweep("context=16:64k:x64"));
  ASSERT_EQ(by_context.rows.size(), 3U);
  EXPECT_EQ(by_context.rows[1].plan->workload.max_seq_len, 1024U);
  EXPECT_EQ(by_context.rows[1].plan->workload.expected_context, 256U);
  EXPECT_EQ(by_context.unit, "tokens");

  const auto by_sequences = sweep(setting, parse_sweep("sequences=1:3:2"));
  EXPECT_EQ(by_sequences.rows[1].plan->workload.sequences, 3U);
  const auto by_ram = sweep(setting, parse_sweep("ram=1GiB:2GiB:1GiB"));
  EXPECT_FALSE(by_ram.rows[1].holds);
  EXPECT_FALSE(by_ram.answered());
}

TEST(Sweep, CutsTheExpectedContextToTheContext) {
  const auto subject = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  Setting setting{subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
  setting.workload.expected_context = 4096;
  const auto answer = sweep(setting, parse_sweep("context=1k:16k:x16"));
  EXPECT_EQ(answer.rows[0].plan->workload.expected_context, 1024U);
  EXPECT_EQ(answer.rows[1].plan->workload.expected_context, 4096U);
}

}  // namespace
}  // namespace tandem::planner
