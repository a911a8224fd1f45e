#include "planner/questions.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "planner/errors.h"
#include "planner/footprint.h"
#include "tests/planner/slow_bytes.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::slow_ram;
using planner_test::slow_vram;

Setting catalogue_setting(const std::string& model) {
  const auto subject = planner_test::catalogue_subject(model);
  return {subject.input, Budget{}, default_workload(subject.hyper), builtin_machine("default"), {}};
}

/// A small model with a tight budget, on the CPU and an emulated GPU.
Setting random_setting(const planner_test::Subject& subject, std::mt19937& random) {
  Setting setting{subject.input,
                  Budget{},
                  planner_test::random_workload(random),
                  builtin_machine("default"),
                  {Device::emulated0}};
  setting.workload.max_seq_len *= 64;  // KV beside which the buffer for loading weights is small
  const auto bytes = [&](Device device) {
    const auto placement = Placement::all_on(device, setting.model.layers.size());
    return footprint(setting.model, Budget{}, setting.workload, setting.machine, placement);
  };
  setting.budget.vram_bytes = pick(random, 0, bytes(Device::emulated0).vram_bytes);
  setting.budget.ram_bytes = pick(random, 0, bytes(Device::cpu).ram_bytes);
  return setting;
}

const AnswerRow& row_called(const Answer& answer, const std::string& label) {
  const auto row = std::ranges::find(answer.rows, label, &AnswerRow::label);
  if (row == answer.rows.end()) throw std::runtime_error("no row " + label);
  return *row;
}

/// All bytes as the slow count has them.
bool slowly_fits_on_gpu(const planner_test::Subject& subject, const Setting& setting, std::uint64_t context) {
  auto workload = setting.workload;
  workload.max_seq_len = context;
  const auto placement = Placement::all_on(Device::emulated0, subject.hyper.layers.size());
  const auto bytes =
      planner_test::slow_bytes(subject.header, subject.hyper, setting.budget, workload, 0, placement);
  return slow_vram(bytes) <= setting.budget.vram_bytes && slow_ram(bytes) <= setting.budget.ram_bytes;
}

/// "All on the GPU" is all that it can run, and a note says what that is without.
TEST(Questions, AskForNoMoreOnTheGpuThanItCanRun) {
  auto setting = catalogue_setting("gemma3-4b-qat-q4_0");
  setting.model.layers[7].attention.not_on_gpu = "blk.7.attn_q.weight is odd";
  const std::string line = "no GPU can run 1 of 34 attention halves: blk.7.attn_q.weight is odd";
  for (const auto& answer : {max_context(setting), max_sequences(setting), min_vram(setting)}) {
    EXPECT_EQ(std::ranges::count(answer.notes, line), 1) << answer.question;
    const auto& row = row_called(answer, "all on the GPU");
    ASSERT_TRUE(row.plan && row.holds);
    for (const auto& layer : row.plan->layers) {
      EXPECT_EQ(layer.attention_device, layer.index == 7 ? Device::cpu : Device::cuda0);
      EXPECT_EQ(layer.ffn_device, Device::cuda0);
    }
  }
  EXPECT_LT(row_called(max_context(setting), "all on the GPU").value,
            row_called(max_context(setting), "fits").value);
}

TEST(MaxContext, IsTheLastOfAllContextsThatFits) {
  std::mt19937 random(41);
  int found = 0;
  for (int round = 0; round < 40; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto setting = random_setting(subject, random);
    const auto answer = max_context(setting);
    const auto& row = row_called(answer, "fits");
    EXPECT_EQ(row.holds, row.value.has_value());
    EXPECT_EQ(answer.answered(), row.holds);
    if (!row.value) {
      EXPECT_FALSE(plan_of(with_context(setting, 1)).fits);
      continue;
    }
    if (*row.value == kMaxContext) continue;
    ++found;
    EXPECT_TRUE(plan_of(with_context(setting, *row.value)).fits);
    // Every longer one up to some hundreds, then at strides: none fits.
    for (std::uint64_t i = 1; i < 300; ++i)
      ASSERT_FALSE(plan_of(with_context(setting, *row.value + i)).fits) << "round " << round << " + " << i;
    EXPECT_EQ(row.plan->workload.max_seq_len, *row.value);
    EXPECT_TRUE(row.plan->fits);
  }
  EXPECT_GT(found, 10);
}

TEST(MaxContext, OnTheGpuAgreesWithTheSlowCount) {
  std::mt19937 random(42);
  int found = 0;
  for (int round = 0; round < 40; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto setting = random_setting(subject, random);
    setting.budget.ram_bytes = 1ULL << 40;
    setting.budget.vram_bytes += pick(random, 0, setting.budget.vram_bytes);
    const auto answer = max_context(setting);
    const auto& row = row_called(answer, "all on the GPU");
    if (!row.value) {
      EXPECT_FALSE(slowly_fits_on_gpu(subject, setting, 1));
      continue;
    }
    if (*row.value > 20'000) continue;  // the slow count fills cell by cell
    ++found;
    EXPECT_TRUE(slowly_fits_on_gpu(subject, setting, *row.value));
    EXPECT_FALSE(slowly_fits_on_gpu(subject, setting, *row.value + 1));
    EXPECT_EQ(row.plan->stages.size(), 1U);
  }
  EXPECT_GT(found, 10);
}

TEST(MaxContext, IsNotCutByTheContextAskedFor) {
  auto setting = catalogue_setting("gemma4-12b-qat-q4_0");
  setting.workload.sequences = 1;
  const auto short_asked = max_context(with_context(setting, 10));
  const auto long_asked = max_context(with_context(setting, 1'000'000'000));
  EXPECT_EQ(row_called(short_asked, "all on the GPU").value, row_called(long_asked, "all on the GPU").value);
  EXPECT_GT(row_called(short_asked, "all on the GPU").value, 262'144U);
}

TEST(MaxContext, StaysWithinWhatCanBeNumbered) {
  auto setting = catalogue_setting("gemma4-12b-qat-q4_0");
  setting.budget = {~0ULL, ~0ULL, 0, 0};
  EXPECT_EQ(row_called(max_context(setting), "fits").value, kMaxContext);
  setting.workload.sequences = kMaxSequences;
  setting.workload.micro_batch = kMaxSequences;
  EXPECT_EQ(row_called(max_context(setting), "fits").value,
            std::uint64_t{UINT32_MAX / kMaxSequences} * kPageTok);
}

TEST(MaxContext, HasOneRowWithoutAGpu) {
  auto setting = catalogue_setting("gemma4-12b-qat-q4_0");
  setting.devices.gpu.reset();
  EXPECT_EQ(max_context(setting).rows.size(), 1U);
  setting.budget.ram_bytes = 1'000'000'000;
  EXPECT_FALSE(max_context(setting).answered());
}

TEST(MaxSequences, IsTheLastThatFits) {
  std::mt19937 random(43);
  int found = 0;
  for (int round = 0; round < 60; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto setting = random_setting(subject, random);
    const auto answer = max_sequences(setting);
    const auto limit = setting.workload.micro_batch / (setting.workload.draft_rows + 1);
    std::optional<std::uint64_t> last;
    for (std::uint32_t sequences = 1; sequences <= limit; ++sequences) {
      auto other = setting;
      other.workload.sequences = sequences;
      if (plan_of(other).fits) last = sequences;
    }
    EXPECT_EQ(row_called(answer, "fits").value, last) << "round " << round;
    found += last ? 1 : 0;
  }
  EXPECT_GT(found, 10);
}

TEST(MinVram, OfEverythingIsExact) {
  for (const auto* model : {"gemma4-12b-qat-q4_0", "gemma3-27b-qat-q4_0"}) {
    auto setting = catalogue_setting(model);
    const auto least = row_called(min_vram(setting), "all on the GPU").value.value();
    setting.budget.vram_bytes = least;
    EXPECT_EQ(plan_of(setting).stages.size(), 1U);
    EXPECT_EQ(plan_of(setting).vram_bytes, least);
    setting.budget.vram_bytes = least - 1;
    EXPECT_GT(plan_of(setting).stages.size(), 1U);
  }
}

TEST(MinVram, CountsTheDriverAndTheReserve) {
  auto setting = catalogue_setting("gemma4-12b-qat-q4_0");
  const auto least = row_called(min_vram(setting), "all on the GPU").value.value();
  setting.budget.vram_reserve_bytes = 1'000'000;
  EXPECT_EQ(row_called(min_vram(setting), "all on the GPU").value, least + 1'000'000);
  setting.machine.driver_bytes += 5;
  EXPECT_EQ(row_called(min_vram(setting), "all on the GPU").value, least + 1'000'005);
}

TEST(MinVram, NeedsNoneWhereTheCpuCarriesEverything) {
  const auto answer = min_vram(catalogue_setting("gemma3-27b-qat-q4_0"));
  EXPECT_EQ(row_called(answer, "fits").value, 0U);
  EXPECT_TRUE(answer.answered());
}

TEST(MinVram, HasNoAnswerWhereRamIsShortOnAnyCard) {
  auto setting = catalogue_setting("gemma3-27b-qat-q4_0");
  setting.budget.ram_bytes = 1000;
  EXPECT_FALSE(min_vram(setting).answered());
}

/// Placement number `index` of a model's 2^(2 * layers + 1).
Placement placement_number(std::size_t layers, std::uint64_t index, Device gpu) {
  auto placement = Placement::all_on(Device::cpu, layers);
  for (const auto unit : all_units(layers)) {
    if (index % 2 == 1) placement.move(unit, gpu);
    index /= 2;
  }
  return placement;
}

TEST(MinVram, IsTheLeastOverAllPlacements) {
  std::mt19937 random(44);
  int found = 0;
  for (int round = 0; round < 400; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto layers = subject.hyper.layers.size();
    if (layers > 4) continue;
    const auto setting = random_setting(subject, random);
    std::optional<std::uint64_t> least;
    for (std::uint64_t index = 0; index < (std::uint64_t{2} << (2 * layers)); ++index) {
      const auto bytes = footprint(setting.model, setting.budget, setting.workload, setting.machine,
                                   placement_number(layers, index, Device::emulated0));
      if (bytes.ram_bytes <= setting.budget.ram_bytes)
        least = std::min(least.value_or(~0ULL), bytes.vram_bytes);
    }
    EXPECT_EQ(row_called(min_vram(setting), "fits").value, least) << "round " << round;
    found += least && *least > 0 ? 1 : 0;
  }
  EXPECT_GT(found, 10);
}

TEST(Speed, NeverFallsWithMoreVram) {
  std::mt19937 random(46);
  int grew = 0;
  for (int round = 0; round < 150; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto setting = random_setting(subject, random);
    setting.budget.ram_bytes = 1ULL << 40;
    const auto most = setting.budget.vram_bytes;
    double before = 0;
    for (int step = 0; step <= 12; ++step) {
      setting.budget.vram_bytes = most * step / 12;
      const auto speed = plan_of(setting).predicted.decode_tok_per_s;
      EXPECT_GE(speed, before) << "round " << round << ", " << setting.budget.vram_bytes << " bytes";
      grew += speed > before && step > 0 ? 1 : 0;
      before = speed;
    }
  }
  EXPECT_GT(grew, 100);
}

TEST(Speed, OfPublishedModelsNeverFallsWithMoreVram) {
  for (const auto* model :
       {"gemma3-12b-qat-q4_0", "gemma3-27b-qat-q4_0", "gemma4-12b-q8_0", "gemma4-31b-q4_k_m"}) {
    auto setting = catalogue_setting(model);
    double before = 0;
    for (std::uint64_t vram = 0; vram <= 24ULL << 30; vram += 1717986918) {  // 1.6 GiB
      setting.budget.vram_bytes = vram;
      const auto speed = plan_of(setting).predicted.decode_tok_per_s;
      EXPECT_GE(speed, before) << model << " with " << vram << " bytes";
      before = speed;
    }
  }
}

TEST(Compare, HasARowForEachModel) {
  auto small = catalogue_setting("gemma4-12b-qat-q4_0");
  auto large = catalogue_setting("gemma3-27b-bf16");
  large.budget.ram_bytes = 16'000'000'000;
  large.alias = "27b-bf16";
  const auto answer = compare({small, large});
  ASSERT_EQ(answer.rows.size(), 2U);
  EXPECT_EQ(answer.rows[0].label, "Gemma 4 12B");
  EXPECT_EQ(answer.rows[1].label, "27b-bf16");
  EXPECT_TRUE(answer.rows[0].holds);
  EXPECT_FALSE(answer.rows[1].holds);
  EXPECT_TRUE(answer.answered());
  EXPECT_FALSE(compare({large}).answered());
}

TEST(Questions, AreRefusedWhereThePlanWouldBe) {
  auto setting = catalogue_setting("gemma4-12b-qat-q4_0");
  setting.workload.micro_batch = 0;
  EXPECT_THROW(max_context(setting), BadQuestion);
  EXPECT_THROW(max_sequences(setting), BadQuestion);
  EXPECT_THROW(min_vram(setting), BadQuestion);
  setting.workload.micro_batch = 512;
  setting.workload.sequences = 0;
  EXPECT_THROW(max_context(setting), BadQuestion);
}

TEST(Bytes, NeverShrinkWithTheContext) {
  std::mt19937 random(45);
  for (int round = 0; round < 300; ++round) {
    const auto subject = planner_test::random_subject(random);
    auto workload = planner_test::random_workload(random);
    const auto placement =
        planner_test::random_placement(random, subject.hyper.layers.size(), Device::emulated0);
    const auto bytes_at = [&](std::uint64_t context) {
      workload.max_seq_len = context;
      return footprint(subject.input, Budget{}, workload, builtin_machine("default"), placement);
    };
    const auto shorter = bytes_at(pick(random, 1, 2000));
    const auto longer = bytes_at(workload.max_seq_len + pick(random, 1, 2000));
    EXPECT_LE(shorter.vram_bytes, longer.vram_bytes);
    EXPECT_LE(shorter.ram_bytes, longer.ram_bytes);
  }
}

}  // namespace
}  // namespace tandem::planner
