#include "planner/alternatives.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/size_text.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

class Alternatives : public testing::Test {
 protected:
  [[nodiscard]] Plan plan(const Budget& budget, const Workload& workload) const {
    return make_plan(subject_.input, budget, workload, machine_, {});
  }
  /// "8.25 ms a token" of the plan for another question.
  [[nodiscard]] std::string decode_text(const Budget& budget, const Workload& workload) const {
    const auto other = make_bare_plan(subject_.input, budget, workload, machine_, {});
    return three_digits(1000 / other.predicted.decode_tok_per_s) + " ms a token";
  }
  static bool says(const Plan& plan, const std::string& line) {
    return std::ranges::find(plan.reasons, line) != plan.reasons.end();
  }

  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma3-27b-qat-q4_0");
  const MachineProfile machine_ = builtin_machine("default");
  const Budget budget_;
  const Workload workload_;
};

TEST_F(Alternatives, OptionsBuyWhatTheirPlansSay) {
  const auto planned = plan(budget_, workload_);
  auto more = budget_;
  more.vram_bytes += 1ULL << 30;
  EXPECT_TRUE(says(planned, "with 1 GiB more of VRAM it would be faster: " + decode_text(more, workload_)));
  const auto option = [&](const std::string& flag, auto change) {
    auto other = workload_;
    change(other);
    const auto line = "with " + flag + " it would be faster: " + decode_text(budget_, other);
    EXPECT_TRUE(says(planned, line)) << line;
  };
  option("--kv-type q8_0", [](Workload& other) { other.kv_type = KvType::q8_0; });
  option("--sequences 1", [](Workload& other) { other.sequences = 1; });
  option("--head-type q8_0", [](Workload& other) { other.head_type = HeadType::q8_0; });
  option("--head-type q6_k", [](Workload& other) { other.head_type = HeadType::q6_k; });
}

/// From how many rows on streaming pays depends on how many a chunk may have, and its buffers take VRAM.
TEST_F(Alternatives, OptionsThatChangeWhatStreamsBuyWhatTheirPlansSay) {
  auto workload = workload_;
  workload.sequences = 8;
  workload.micro_batch = 30;
  auto single = workload;
  single.sequences = 1;
  const auto planned = plan(budget_, workload);
  ASSERT_EQ(planned.workload.stream_rows, 0U);
  ASSERT_NE(plan(budget_, single).workload.stream_rows, 0U);
  const auto line = "with --sequences 1 it would be faster: " + decode_text(budget_, single);
  EXPECT_TRUE(says(planned, line)) << line;
}

TEST_F(Alternatives, SuggestNothingThatWouldBeRefused) {
  auto workload = workload_;
  workload.stream_rows = workload.micro_batch / 4;
  const auto about_micro_batch = [](const std::string& line) {
    return line.find("--micro-batch") != std::string::npos;
  };
  EXPECT_EQ(std::ranges::count_if(plan(budget_, workload).reasons, about_micro_batch), 1);
  ++*workload.stream_rows;
  EXPECT_EQ(std::ranges::count_if(plan(budget_, workload).reasons, about_micro_batch), 0);
  auto endless = budget_;
  endless.vram_bytes = UINT64_MAX;
  for (const auto& line : plan(endless, workload_).reasons)
    EXPECT_FALSE(line.starts_with("with 1 GiB")) << line;
}

TEST_F(Alternatives, SayWhatWouldMakeItFit) {
  auto small = budget_;
  small.vram_bytes = 1ULL << 30;
  auto workload = workload_;
  workload.max_seq_len = 65'536;
  workload.expected_context = 4096;
  auto shorter = workload;
  shorter.kv_type = KvType::q8_0;
  small.ram_bytes =
      make_bare_plan(subject_.input, Budget{small.vram_bytes, ~0ULL, 0, 0}, shorter, machine_, {}).ram_bytes;
  const auto planned = plan(small, workload);
  EXPECT_FALSE(planned.fits);
  const auto line = "with --kv-type q8_0 it would fit, at " + decode_text(small, shorter);
  EXPECT_TRUE(says(planned, line)) << line;
}

TEST_F(Alternatives, NoRunnerUpIsFaster) {
  for (const std::uint64_t gib : {6, 10, 14}) {
    auto budget = budget_;
    budget.vram_bytes = gib << 30U;
    const auto planned = plan(budget, workload_);
    int runners_up = 0;
    for (const auto& line : planned.reasons) {
      if (!line.starts_with("runner-up: ")) continue;
      ++runners_up;
      const auto ms = std::stod(line.substr(line.rfind(", ") + 2));
      EXPECT_GE(ms, std::stod(three_digits(1000 / planned.predicted.decode_tok_per_s))) << line;
      const auto more = std::stod(line.substr(line.rfind('(') + 1));
      EXPECT_NEAR(more, 100 * (ms * planned.predicted.decode_tok_per_s / 1000 - 1), 0.6) << line;
    }
    EXPECT_GE(runners_up, 2);
    EXPECT_LE(runners_up, 3);
  }
}

TEST_F(Alternatives, OtherAimsBuyWhatTheirPlansSay) {
  const auto planned = plan(budget_, workload_);
  auto other = workload_;
  other.optimise = Optimise::prefill;
  const auto for_prompts = plan(budget_, other);
  const auto line = "with --optimise prefill it would be " +
                    three_digits(for_prompts.predicted.prefill_tok_per_s) + " tok/s prompt instead of " +
                    three_digits(planned.predicted.prefill_tok_per_s) + ", and " +
                    three_digits(for_prompts.predicted.decode_tok_per_s) + " tok/s decode instead of " +
                    three_digits(planned.predicted.decode_tok_per_s);
  EXPECT_TRUE(says(planned, line)) << line;
  const auto back = "with --optimise decode it would be " + three_digits(planned.predicted.decode_tok_per_s) +
                    " tok/s decode instead of " + three_digits(for_prompts.predicted.decode_tok_per_s) +
                    ", and " + three_digits(planned.predicted.prefill_tok_per_s) +
                    " tok/s prompt instead of " + three_digits(for_prompts.predicted.prefill_tok_per_s);
  EXPECT_TRUE(says(for_prompts, back)) << back;
}

TEST_F(Alternatives, NameWhatWasToBeShort) {
  auto workload = workload_;
  EXPECT_EQ(objective_text(workload, 12'300'000'000), "12.3 ms a token");
  workload.optimise = Optimise::prefill;
  EXPECT_EQ(objective_text(workload, 12'300'000'000), "12.3 ms a prompt's chunk");
  workload.optimise = Optimise::request;
  EXPECT_EQ(objective_text(workload, 12'300'000'000), "12.3 ms a token of an answer and 8 of its prompt");
  workload.optimise = Optimise::throughput;
  EXPECT_EQ(objective_text(workload, 12'300'000'000), "12.3 ms a token of every sequence");
}

}  // namespace
}  // namespace tandem::planner
