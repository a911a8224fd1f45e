#include "planner/cost.h"

#include <algorithm>
#include <array>
#include <vector>

#include <gtest/gtest.h>

#include "model/catalogue.h"
#include "planner/footprint.h"
#include "planner/machine_parts.h"
#include "planner/make_plan.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

/// Round numbers, so that times can be worked out by hand.
MachineProfile round_machine() {
  MachineProfile machine;
  machine.ram_read_gb_per_s = 10;
  machine.vram_read_gb_per_s = 100;
  machine.cpu_int8_tops = 1;
  machine.cpu_float_tops = 0.5;
  machine.gpu_int8_tops = 20;
  machine.gpu_float_tops = 10;
  machine.pcie_gb_per_s = 10;
  machine.gpu_launch_us = 3;
  machine.cpu_unit_us = 7;
  machine.crossing_us = 11;
  return machine;
}

double microseconds(Picoseconds time) {
  return static_cast<double>(time) / 1e6;
}

/// Half a picosecond either way: times are integers.
constexpr double kRounding = 1e-6;

class Cost : public testing::Test {
 protected:
  [[nodiscard]] double unit_us(Device device, UnitRef unit, StepShape step) const {
    return microseconds(unit_ps(subject_.input, KvType::f16, machine_, device, unit, step));
  }

  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  MachineProfile machine_ = round_machine();
};

TEST_F(Cost, OneRowOfAnFfnHalfIsBytesOverBandwidth) {
  // Three matrices of 3840 x 15360 in Q4_0 (18 bytes for 32), two norms of 3840 floats, one scalar.
  const double bytes = 3.0 * 3840 * 15360 / 32 * 18 + 2 * 3840 * 4 + 4;
  const UnitRef ffn{UnitKind::ffn, 0};
  EXPECT_NEAR(unit_us(Device::cuda0, ffn, {1, 100}), bytes / 100e9 * 1e6 + 3, 1e-6);
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {1, 100}), bytes / 10e9 * 1e6 + 7, 1e-6);
}

TEST_F(Cost, ManyRowsOfAnFfnHalfAreOperationsOverThroughput) {
  const double elems = 3.0 * 3840 * 15360;
  const double vectors = 2 * 3840 + 1;
  const UnitRef ffn{UnitKind::ffn, 0};
  EXPECT_NEAR(unit_us(Device::cuda0, ffn, {512, 512}),
              (2 * 512 * elems / 20e12 + 2 * 512 * vectors / 10e12) * 1e6 + 3, 1e-6);
}

TEST_F(Cost, AttentionReadsTheKvItSees) {
  const auto decode_us = [&](std::uint32_t layer, std::uint64_t context) {
    return unit_us(Device::cuda0, {UnitKind::attention, layer}, {1, context});
  };
  // Sliding layer 0: 8 KiB a token up to the window of 1024.
  EXPECT_NEAR(decode_us(0, 1000) - decode_us(0, 500), 500 * 8192 / 100e9 * 1e6, 1e-6);
  EXPECT_NEAR(decode_us(0, 100'000), decode_us(0, 1024), 1e-9);
  // Global layer 5: one vector of 512 halves, at any distance; 16 heads of 512 on each key.
  EXPECT_NEAR(decode_us(5, 20'000) - decode_us(5, 10'000), 10'000 * 1024 / 100e9 * 1e6, 1e-6);
}

TEST_F(Cost, PromptRowsSeeHalfOfTheirChunkOnAverage) {
  // 1000 rows at 1001 ... 2000 keys in global layer 5: 4 * 16 * 512 operations a row and key.
  const double keys = 1000 * 1500.5;
  const double elems = 3840.0 * (8192 + 512 + 8192);
  const double vectors = 2 * 3840 + 2 * 512;
  const double expected_us =
      (2 * 1000 * elems / 20e12 + (2 * 1000 * vectors + 4 * 16 * 512 * keys) / 10e12) * 1e6 + 3;
  EXPECT_NEAR(unit_us(Device::cuda0, {UnitKind::attention, 5}, {1000, 2000}), expected_us,
              expected_us * 1e-9);
}

TEST_F(Cost, PromptRowsOfASlidingLayerSeeTheWindowAtMost) {
  // Layer 0: rows at 901 ... 1100 keys, of which the first 124 see fewer than the window of 1024.
  double keys = 0;
  for (int visible = 901; visible <= 1100; ++visible) keys += std::min(visible, 1024);
  machine_.gpu_attention_tops = 1;
  const auto slow_us = unit_us(Device::cuda0, {UnitKind::attention, 0}, {200, 1100});
  machine_.gpu_attention_tops = 2;
  const auto fast_us = unit_us(Device::cuda0, {UnitKind::attention, 0}, {200, 1100});
  EXPECT_NEAR(slow_us - fast_us, 4 * 16 * 256 * keys / 2e12 * 1e6, 2 * kRounding);
}

TEST_F(Cost, AttentionOfKnownThreadsIsLoadsAndOperationsTogether) {
  const UnitRef attention{UnitKind::attention, 5};
  const auto plain_us = unit_us(Device::cpu, attention, {1, 1});
  machine_.cpu_threads = 2;
  machine_.cpu_attention_gb_per_s = 16;
  machine_.cpu_attention_tops = 0.08;
  const auto us = [&](StepShape step) { return unit_us(Device::cpu, attention, step); };
  // 16 heads on one KV head are one task, of which both threads take keys: each key, 1 KiB, is loaded once.
  const double key_us = 1024 / 16e9 * 1e6 + 4 * 16 * 512 / 0.08e12 * 1e6;
  EXPECT_NEAR(us({1, 20'000}) - us({1, 10'000}), 10'000 * key_us, kRounding);
  // Two sequences are two tasks, for which the same holds.
  const double pair_us = 2 * (1024 / 16e9 * 1e6 + 4 * 16 * 512 / 0.08e12 * 1e6);
  EXPECT_NEAR(us({1, 20'000, 2}) - us({1, 10'000, 2}), 10'000 * pair_us, kRounding);
  // With three threads no one waits either.
  machine_.cpu_threads = 3;
  EXPECT_NEAR(us({1, 20'000}) - us({1, 10'000}), 10'000 * key_us, kRounding);
  EXPECT_GT(us({1, 1}), plain_us);
}

TEST_F(Cost, ScoresAndVectorsThatMakeKeysHaveRatesOfTheirOwn) {
  machine_.cpu_threads = 2;
  machine_.cpu_attention_gb_per_s = 16;
  machine_.cpu_attention_tops = 0.08;
  machine_.cpu_attention_scores_g_per_s = 0.5;
  machine_.cpu_attention_vector_gb_per_s = 4;
  const auto us = [&](std::uint32_t layer, std::uint64_t context) {
    return unit_us(Device::cpu, {UnitKind::attention, layer}, {1, context});
  };
  // Layer 5 caches one vector of 512 halves; 16 heads have a score for each key.
  const double vector_us = (1024 / 4e9 + 4 * 16 * 512 / 0.08e12 + 16 / 0.5e9) * 1e6;
  EXPECT_NEAR(us(5, 20'000) - us(5, 10'000), 10'000 * vector_us, kRounding);
  // Layer 0 caches K and V of 8 heads of 256.
  const double separate_us = (8192 / 16e9 + 4 * 16 * 256 / 0.08e12 + 16 / 0.5e9) * 1e6;
  EXPECT_NEAR(us(0, 1000) - us(0, 500), 500 * separate_us, kRounding);
}

TEST_F(Cost, KvComesFromTheCacheWhereWeightsAndAllOfItFit) {
  machine_.cpu_threads = 2;
  machine_.cpu_attention_gb_per_s = 16;
  machine_.cpu_attention_vector_gb_per_s = 4;
  machine_.cpu_cached_attention_gb_per_s = 64;
  machine_.cpu_cached_attention_vector_gb_per_s = 8;
  const auto key_us = [&](std::uint32_t layer) {
    const UnitRef attention{UnitKind::attention, layer};
    return (unit_us(Device::cpu, attention, {1, 1000}) - unit_us(Device::cpu, attention, {1, 500})) / 500;
  };
  const auto vector_us = key_us(5);
  const auto separate_us = key_us(0);
  machine_.cpu_cache_bytes = 1e9;  // less than the weights
  EXPECT_EQ(key_us(5), vector_us);
  machine_.cpu_cache_bytes = 1e12;
  EXPECT_NEAR(vector_us - key_us(5), (1024 / 4e9 - 1024 / 8e9) * 1e6, kRounding);
  EXPECT_NEAR(separate_us - key_us(0), (8192 / 16e9 - 8192 / 64e9) * 1e6, kRounding);
  machine_.cpu_cached_attention_gb_per_s = 0;
  EXPECT_EQ(key_us(0), separate_us) << "not measured: as from memory";
}

/// Every machine that Tandem knows: whole profiles, and every card with every processor.
std::vector<MachineProfile> known_machines() {
  std::vector<MachineProfile> machines;
  for (const auto name : machine_names()) machines.push_back(builtin_machine(name));
  for (const auto& gpu : known_gpus()) {
    for (const auto& cpu : known_cpus()) machines.push_back(combine(gpu, cpu, known_assumptions()));
  }
  return machines;
}

TEST(KvLayouts, OfOneVectorAreNowhereFasterWithTheRotatedPartBesideIt) {
  std::size_t compared = 0;
  const auto machines = known_machines();
  for (const auto& name : model::catalogue_names()) {
    const auto subject = planner_test::catalogue_subject(name);
    const auto& layers = subject.input.hyper.layers;
    const auto layer = std::ranges::find(layers, KvLayout::vector, kv_layout);
    if (layer == layers.end()) continue;  // Gemma 3 has a V projection everywhere; the others are alike
    const auto index = static_cast<std::uint32_t>(layer - layers.begin());
    for (const auto& machine : machines) {
      for (const auto device : {Device::cpu, Device::cuda0}) {
        for (const auto type : {KvType::f16, KvType::q8_0, KvType::f32}) {
          for (const StepShape step :
               {StepShape{1, 1}, {1, 4096}, {1, 262'144}, {1, 32'768, 8}, {512, 8192}}) {
            const auto ps = [&](KvLayout layout) {
              return attention_ps(subject.input, type, machine, device, index, layout, step);
            };
            ASSERT_LE(ps(KvLayout::vector), ps(KvLayout::vector_rotated)) << name << " on " << machine.name;
            ++compared;
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 10'000U);
}

TEST_F(Cost, ARotatedPartBesideTheVectorPaysOnlyWhereKeysAreDerivedSlowly) {
  machine_.cpu_threads = 4;
  machine_.cpu_attention_gb_per_s = 10;
  machine_.cpu_attention_tops = 0.1;
  const auto ps = [&](KvLayout layout) {
    return attention_ps(subject_.input, KvType::f16, machine_, Device::cpu, 5, layout, {1, 100'000});
  };
  machine_.cpu_attention_vector_gb_per_s = 8.01;
  EXPECT_LT(ps(KvLayout::vector), ps(KvLayout::vector_rotated));
  machine_.cpu_attention_vector_gb_per_s = 7.99;
  EXPECT_GT(ps(KvLayout::vector), ps(KvLayout::vector_rotated));
}

TEST_F(Cost, ThreadsWaitForTheOneWithMostTasks) {
  machine_.cpu_threads = 5;
  machine_.cpu_attention_gb_per_s = 16;
  machine_.cpu_attention_tops = 0.08;
  // Layer 0 has 8 KV heads of two heads each: three rows are 24 tasks for 5 threads, five rounds of 4.8.
  const auto us = [&](std::uint64_t context) {
    return unit_us(Device::cpu, {UnitKind::attention, 0}, {3, context});
  };
  const double key_us = 3 * (8192 / 16e9 + 4 * 16 * 256 / 0.08e12) * 1e6 * 5 / 4.8;
  EXPECT_NEAR(us(1000) - us(500), 500 * key_us, kRounding);
}

TEST_F(Cost, RowsTakeTimeBesideTheirProducts) {
  const StepShape step{4, 300, 2};
  const auto cpu_us = [&](UnitRef unit) { return unit_us(Device::cpu, unit, step); };
  const UnitRef ffn{UnitKind::ffn, 0};
  const UnitRef head{UnitKind::head, 0};
  const auto ffn_before = cpu_us(ffn);
  const auto head_before = cpu_us(head);
  const auto gpu_before = unit_us(Device::cuda0, ffn, step);
  machine_.cpu_elems.norms_g_per_s = 2;
  machine_.cpu_elems.logits_g_per_s = 4;
  EXPECT_NEAR(cpu_us(ffn) - ffn_before, 8 * 4 * 3840 / 2e9 * 1e6, kRounding);
  EXPECT_NEAR(cpu_us(head) - head_before, 2 * (2 * 3840 / 2e9 + 262144 / 4e9) * 1e6, kRounding);
  EXPECT_EQ(unit_us(Device::cuda0, ffn, step), gpu_before);
}

TEST_F(Cost, ACpusHeadBeginsLikeAStageAndOnceMoreToEmbed) {
  const UnitRef head{UnitKind::head, 0};
  const auto before = unit_us(Device::cpu, head, {1, 100});
  machine_.cpu_stage_us = 13;
  EXPECT_NEAR(unit_us(Device::cpu, head, {1, 100}) - before, 2 * 13, kRounding);
}

TEST_F(Cost, EachRowAddsToACpusUnitUpToEightMoreThanBeyond) {
  const UnitRef ffn{UnitKind::ffn, 0};
  const auto plain_us = [&](Device device, std::uint64_t rows) { return unit_us(device, ffn, {rows, 2000}); };
  const std::array plain{plain_us(Device::cpu, 1), plain_us(Device::cpu, 3), plain_us(Device::cpu, 8),
                         plain_us(Device::cpu, 100), plain_us(Device::cuda0, 100)};
  machine_.cpu_unit_few_rows_us = 0.5;
  machine_.cpu_unit_many_rows_us = 0.25;
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {1, 2000}), plain[0], kRounding);
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {3, 2000}), plain[1] + 2 * 0.5, kRounding);
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {1, 2000, 8}), plain[2] + 7 * 0.5, kRounding);
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {100, 2000}), plain[3] + 7 * 0.5 + 92 * 0.25, kRounding);
  EXPECT_NEAR(unit_us(Device::cuda0, ffn, {100, 2000}), plain[4], kRounding);
}

TEST_F(Cost, SequencesShareWeightsButNotKv) {
  const UnitRef attention{UnitKind::attention, 5};
  const auto one_us = unit_us(Device::cuda0, attention, {1, 10'000, 1});
  const auto four_us = unit_us(Device::cuda0, attention, {1, 10'000, 4});
  EXPECT_NEAR(four_us - one_us, 3 * 10'000 * 1024 / 100e9 * 1e6, 1e-3);
}

TEST_F(Cost, ATypeWithRatesOfItsOwnReadsAtTheRateOfTheStepsRows) {
  machine_.cpu_types = {{model::TensorType::q4_0, {8, 6, 4, 2}, 0.5}};
  const double matrices = 3.0 * 3840 * 15360 / 32 * 18;
  const double vectors_us = (2 * 3840 + 1) * 4 / 10e9 * 1e6;
  const UnitRef ffn{UnitKind::ffn, 0};
  const auto rows_us = [&](std::uint64_t rows) {
    return unit_us(Device::cpu, ffn, {1, 100, rows}) - vectors_us - 7;
  };
  const auto read_us = [&](double gb_per_s) { return matrices / gb_per_s / 1e3; };
  EXPECT_NEAR(rows_us(1), read_us(8), kRounding);
  EXPECT_NEAR(rows_us(2), read_us(6), kRounding);
  EXPECT_NEAR(rows_us(3), (read_us(6) + read_us(4)) / 2, kRounding);
  EXPECT_NEAR(rows_us(7), read_us(4) + (read_us(2) - read_us(4)) * 3 / 4, kRounding);
  EXPECT_NEAR(rows_us(8), read_us(2), kRounding);
  // 9 rows are still read at the rate of 8; 900 are bound by 0.5 tera-operations a second.
  EXPECT_NEAR(rows_us(9), read_us(2), kRounding);
  EXPECT_NEAR(unit_us(Device::cpu, ffn, {900, 900}) - 7,
              (2 * 900 * 3.0 * 3840 * 15360 / 0.5e12 + 2 * 900 * (2 * 3840 + 1) / 0.5e12) * 1e6, kRounding);
}

TEST_F(Cost, AStepIsItsUnitsItsStagesAndItsCrossings) {
  machine_.cpu_stage_us = 13;
  machine_.gpu_stage_us = 17;
  auto placement = Placement::all_on(Device::cuda0, 48);
  placement.move({UnitKind::ffn, 10}, Device::cpu);
  placement.move({UnitKind::attention, 11}, Device::cpu);
  const StepShape step{4, 300};
  double cpu_us = 13;
  double gpu_us = 2 * 17;
  for (const auto unit : all_units(48)) {
    const auto device = placement.device_of(unit);
    (device == Device::cpu ? cpu_us : gpu_us) += unit_us(device, unit, step);
  }
  const double crossing = 11 + 4 * 3840 * 4 / 10e9 * 1e6;
  const auto time = step_time(subject_.input, KvType::f16, machine_, placement, step);
  EXPECT_NEAR(microseconds(time.cpu_ps), cpu_us, kRounding);
  EXPECT_NEAR(microseconds(time.gpu_ps), gpu_us, kRounding);
  EXPECT_NEAR(microseconds(time.crossing_ps), 2 * crossing, kRounding);
  EXPECT_EQ(time.serial_ps(), time.cpu_ps + time.gpu_ps + time.crossing_ps);
}

TEST_F(Cost, OverlappedStepsWaitForTheBusierDeviceOrForTheWholeWay) {
  EXPECT_EQ((StepTime{30, 50, 5}.overlapped_ps()), 100U);
  EXPECT_EQ((StepTime{50, 30, 5}.overlapped_ps()), 100U);
  EXPECT_EQ((StepTime{40, 40, 30}.overlapped_ps()), 110U);
}

TEST_F(Cost, AllSequencesGoTogetherOrInTwoOverlappingHalves) {
  Workload workload;
  workload.sequences = 2;
  workload.expected_context = 2048;
  auto placement = Placement::all_on(Device::cuda0, 48);
  const auto time = [&](std::uint64_t sequences) {
    return step_time(subject_.input, KvType::f16, machine_, placement, {1, 2048, sequences});
  };
  const auto all_ps = [&] { return all_sequences_ps(subject_.input, workload, machine_, placement); };
  EXPECT_EQ(all_ps(), time(2).serial_ps());  // one device: weights are read once for both
  for (std::uint32_t layer = 0; layer < 4; ++layer) placement.move({UnitKind::ffn, layer}, Device::cpu);
  EXPECT_EQ(all_ps(), std::min(time(2).serial_ps(), time(1).overlapped_ps()));
  // Where a device gets nothing from reading weights once, halves that overlap are faster.
  machine_.cpu_types = {{model::TensorType::q4_0, {10, 5, 2.5, 1.25}, 0.1}};
  machine_.gpu_types = {{model::TensorType::q4_0, {100, 50, 25, 12.5}, 0.1}};
  EXPECT_EQ(all_ps(), time(1).overlapped_ps());
  EXPECT_LT(all_ps(), time(2).serial_ps());
  workload.sequences = 1;
  EXPECT_EQ(all_ps(), time(1).serial_ps());
}

TEST_F(Cost, PredictsBetweenTheIdealBoundAndNineTenthsOfIt) {
  Workload workload;
  workload.expected_context = 2048;
  const auto machine = builtin_machine("default");
  const auto predicted = predict(subject_.input, workload, machine, Placement::all_on(Device::cuda0, 48));
  const auto& facts = subject_.input.facts;
  auto bytes = static_cast<double>(facts.tensor_bytes - facts.unplaced_bytes);
  for (const auto& layer : subject_.hyper.layers) {
    bytes += static_cast<double>(kv_cells(layer, 2048) * kv_row_bytes(layer, kv_layout(layer), KvType::f16));
  }
  const auto ideal = machine.vram_read_gb_per_s * 1e9 / bytes;
  EXPECT_LT(predicted.decode_tok_per_s, ideal);
  EXPECT_GT(predicted.decode_tok_per_s, 0.9 * ideal);
  EXPECT_NEAR(predicted.ideal_tok_per_s, ideal, ideal * 1e-12);
  EXPECT_GT(predicted.prefill_tok_per_s, 10 * predicted.decode_tok_per_s);
  EXPECT_GT(predicted.throughput_tok_per_s, 3 * predicted.decode_tok_per_s);
  EXPECT_LT(predicted.throughput_tok_per_s, 4 * predicted.decode_tok_per_s);
}

}  // namespace
}  // namespace tandem::planner
