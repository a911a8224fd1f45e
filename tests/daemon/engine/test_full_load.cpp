// Every sequence at its full context, micro-batches with all that they may have: rows, logits, choices, page
// tables, drafts; every answer held to a grammar.  All of the plan is used then, arena by arena, as the
// memory itself shows, which is filled with a pattern before.

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <memory>
#include <memory_resource>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/repacked.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "daemon/engine/plan_executor.h"
#include "memory/bind.h"
#include "model/answer_constraint.h"
#include "model/gbnf.h"
#include "model/token_trie.h"
#include "model/tokenizer.h"
#include "planner/activations.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/size_text.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using planner::Device;
using planner::Placement;
using planner::Purpose;

constexpr std::uint32_t kMicroBatch = 24;
constexpr std::uint64_t kContext = 64;
constexpr std::uint64_t kEnough = 95;  // of a hundred

/// What nobody has written yet: so does the emulated device fill memory that it gives.
constexpr int kPattern = 0xff;
/// Bytes count in pieces of this size: used if any of them changed.
constexpr std::size_t kPieceBytes = 16;

std::uint64_t changed_bytes(std::span<const std::byte> memory) {
  std::uint64_t changed = 0;
  for (std::size_t at = 0; at < memory.size(); at += kPieceBytes) {
    const auto piece = memory.subspan(at, std::min(kPieceBytes, memory.size() - at));
    const bool untouched = std::ranges::all_of(piece, [](std::byte b) { return b == std::byte{kPattern}; });
    if (!untouched) changed += piece.size();
  }
  return changed;
}

/// `bytes` from `memory` on, which is the device's.
std::vector<std::byte> download(device::Accelerator& device, const std::byte* memory, std::uint64_t bytes) {
  auto* const pinned = device.allocate_pinned(bytes);
  device.receive(reinterpret_cast<float*>(pinned), reinterpret_cast<const float*>(memory), bytes);
  return {pinned, pinned + bytes};
}

std::string name_of(Device device, Purpose purpose) {
  return std::string(planner::to_string(device)) + " " + std::string(planner::to_string(purpose));
}

/// Bytes that changed of each arena of `bound` that is not a file's.
std::map<std::string, std::uint64_t> changed_by_arena(const memory::BoundPlan& bound) {
  std::map<std::string, std::uint64_t> changed;
  for (const auto& arena : bound.arenas()) {
    const auto own = arena.own_memory();
    if (own.empty()) continue;
    const auto name = name_of(arena.device(), arena.purpose());
    if (arena.device() == Device::cpu) {
      changed[name] = changed_bytes(own);
    } else {
      changed[name] = changed_bytes(download(*bound.accelerator(), own.data(), own.size()));
    }
  }
  return changed;
}

/// Before anything is loaded.
void fill_with_pattern(memory::BoundPlan& bound) {
  for (const auto& arena : bound.arenas()) {
    const bool holds_weights = arena.purpose() == Purpose::weights || arena.purpose() == Purpose::head;
    if (arena.device() != Device::cpu || holds_weights) continue;
    const auto own = arena.own_memory();
    std::memset(own.data(), kPattern, own.size());
  }
}

/// Steps of an executor that ask for all that a scheduler may ask for.
class FullestSteps {
 public:
  FullestSteps(PlanExecutor& executor, const memory::BoundPlan& bound)
      : executor_(executor),
        plan_(bound.plan()),
        vocab_(bound.hyper().vocab),
        next_(bound.plan().workload.sequences) {
    const auto pages = plan_.kv_pages.pages / plan_.workload.sequences;
    for (std::uint32_t slot = 0; slot < plan_.workload.sequences; ++slot) {
      auto& table = pages_.emplace_back(pages);
      std::iota(table.begin(), table.end(), slot * pages);
    }
  }

  /// Prompts of all sequences side by side, then the newest row and the drafts of each.  Where weights are
  /// streamed, every third and fourth step goes that way if a prompt has enough rows left: either way has
  /// both crossing buffers then.  So have prompts that take one step if they come twice.
  void run() {
    executor_.start();
    const auto newest_rows = 1 + plan_.workload.draft_rows;
    end_ = plan_.workload.max_seq_len - newest_rows;
    for (std::uint32_t steps = 0; steps < 2;) {
      std::ranges::fill(next_, 0);
      while (step_of_prompts(steps)) ++steps;
    }
    Rows rows;
    for (std::uint32_t slot = 0; slot < pages_.size(); ++slot) add_rows(rows, slot, newest_rows);
    for (auto& sequence : rows.sequences) sequence.draft_rows = plan_.workload.draft_rows;
    want_last(rows, static_cast<std::uint32_t>(rows.tokens.size()));
    if (executor_.reduces()) choose_with_edits(rows);
    step(rows);
  }

 private:
  /// False if no prompt has any rows left.
  bool step_of_prompts(std::uint32_t number) {
    auto rows = number % 4 >= 2 ? streamed_chunks() : Rows();
    if (rows.tokens.empty()) rows = chunks_in_place();
    if (rows.tokens.empty()) return false;
    want_last(rows, planner::logit_rows(plan_.workload));
    step(rows);
    return true;
  }

  [[nodiscard]] std::uint32_t left(std::uint32_t slot) const {
    return static_cast<std::uint32_t>(end_ - next_[slot]);
  }

  /// Of every prompt the same number of rows, as many as may be computed where weights are.
  Rows chunks_in_place() {
    const auto sequences = plan_.workload.sequences;
    auto most = plan_.workload.micro_batch / sequences;
    if (streams()) most = std::min(most, *plan_.workload.stream_rows - 1);
    Rows rows;
    for (std::uint32_t slot = 0; slot < sequences; ++slot) add_rows(rows, slot, std::min(most, left(slot)));
    return rows;
  }

  /// Of as many prompts as have room side by side when each has so many rows that its weights are streamed.
  Rows streamed_chunks() {
    Rows rows;
    if (!streams()) return rows;
    rows.streamed = true;
    const auto least = *plan_.workload.stream_rows;
    const auto together = std::min(plan_.workload.sequences, plan_.workload.micro_batch / least);
    for (std::uint32_t slot = 0; slot < pages_.size() && rows.sequences.size() < together; ++slot) {
      if (left(slot) < least) continue;
      add_rows(rows, slot, std::min(plan_.workload.micro_batch / together, left(slot)));
    }
    return rows;
  }

  [[nodiscard]] bool streams() const { return plan_.workload.stream_rows.value_or(0) > 0; }

  /// The next `n` rows of a sequence.
  void add_rows(Rows& rows, std::uint32_t slot, std::uint32_t n) {
    if (n == 0) return;
    const auto first_row = static_cast<std::uint32_t>(rows.tokens.size());
    rows.sequences.push_back({slot, first_row, n, next_[slot], 0, pages_[slot].data(), 0, 0});
    for (std::uint32_t r = 0; r < n; ++r) {
      rows.tokens.push_back(static_cast<std::int32_t>((7 + next_[slot] + r * 31 + slot * 3) % vocab_));
    }
    next_[slot] += n;
  }

  static void want_last(Rows& rows, std::uint32_t most) {
    const auto n = std::min(most, static_cast<std::uint32_t>(rows.tokens.size()));
    rows.wanted.resize(n);
    std::iota(rows.wanted.begin(), rows.wanted.end(), static_cast<std::uint32_t>(rows.tokens.size()) - n);
  }

  void choose_with_edits(Rows& rows) const {
    rows.choosable = vocab_;
    rows.best.assign(rows.wanted.size(), device::kMostCandidates);
    for (std::uint32_t row = 0; row < rows.wanted.size(); ++row) {
      for (std::uint32_t token = 0; token < planner::kMostEdits; ++token) {
        rows.edits.push_back({row, token, 0.5F, 1.25F, 0.25F, 0});
      }
    }
  }

  void step(const Rows& rows) {
    executor_.begin(rows);
    executor_.finish();
  }

  PlanExecutor& executor_;
  const planner::Plan& plan_;
  const std::uint32_t vocab_;
  std::vector<std::vector<std::uint32_t>> pages_;
  std::vector<std::uint64_t> next_;  ///< position of each sequence
  std::uint64_t end_ = 0;            ///< of prompts
};

/// Masks of an answer in every slot, as an engine makes them there.
void hold_answers(PlanExecutor& executor, const model::Header& header, std::uint32_t slots) {
  const auto tokenizer = model::Tokenizer::from_header(header);
  const model::TokenTrie trie(*tokenizer);
  const auto grammar = std::make_shared<const model::Grammar>(model::read_gbnf("root ::= [a-z]*"), "root");
  const auto masks = std::make_shared<model::GrammarMasks>(grammar, trie);
  for (std::uint32_t slot = 0; slot < slots; ++slot) {
    const auto bytes = executor.masks(slot);
    std::pmr::monotonic_buffer_resource memory(bytes.data(), bytes.size(), std::pmr::null_memory_resource());
    model::AnswerConstraint held(masks, *tokenizer, model::ThoughtFirst::maybe, {}, &memory);
    EXPECT_GT(held.allowed().size(), 0U);
  }
}

planner::Workload full_workload(std::uint32_t sequences) {
  planner::Workload workload;
  workload.max_seq_len = kContext;
  workload.sequences = sequences;
  workload.micro_batch = kMicroBatch;
  return workload;
}

/// Loads and runs a plan for `placement` at full load, then compares each of its arenas as planned, as memory
/// shows and as the executor counted.
void expect_all_used(const std::filesystem::path& file, const planner::Workload& workload,
                     const std::optional<Placement>& placement) {
  const auto header = model::read_header(file);
  const auto hyper = model::read_hyperparameters(header);
  const auto plan = planner::plan_for_placement(
      planner::model_input(header, hyper), {}, workload, planner::builtin_machine("default"),
      placement.value_or(Placement::all_on(Device::cpu, hyper.layers.size())));
  std::unique_ptr<device::Accelerator> device;
  if (placement) device = cuda::make_accelerator(cuda::emulation::make_device({.seed = 3}));
  memory::BoundPlan bound(plan, header, hyper, device.get(), &cpu::best_repacker());
  fill_with_pattern(bound);
  bound.load({});
  PlanExecutor executor(bound, {.threads = 1, .pin = false});
  FullestSteps(executor, bound).run();
  hold_answers(executor, header, workload.sequences);

  const auto changed = changed_by_arena(bound);
  for (const auto& line : executor.ledger()) {
    const auto name = name_of(line.device, line.purpose);
    if (line.purpose == Purpose::graphs) {  // the driver's
      EXPECT_EQ(device->graph_bytes(), line.planned_bytes);
      continue;
    }
    std::cout << "  " << name << ": " << planner::grouped(line.high_water_bytes) << " of "
              << planner::grouped(line.planned_bytes) << " bytes used\n";
    EXPECT_GE(line.high_water_bytes * 100, line.planned_bytes * kEnough) << name;
    EXPECT_LE(line.high_water_bytes, line.planned_bytes) << name;
    const bool in_file =
        line.device == Device::cpu && (line.purpose == Purpose::weights || line.purpose == Purpose::head);
    if (in_file) continue;
    ASSERT_TRUE(changed.contains(name)) << name;
    EXPECT_GE(changed.at(name) * 100, line.planned_bytes * kEnough) << name << ": " << changed.at(name);
    EXPECT_LE(changed.at(name), line.high_water_bytes + line.planned_bytes / 100) << name;
  }
}

const auto kQuantised = std::filesystem::path(TANDEM_SOURCE_DIR) / "config/embedded/tandem-tiny-q4_0.gguf";
constexpr std::size_t kQuantisedLayers = 6;
const auto kFloats = std::filesystem::path(test_support::reference_path("gemma4_4l.gguf"));
constexpr std::size_t kFloatLayers = 4;

/// The same, or another model where heads are too short for q8_0.
std::filesystem::path floats_with(planner::KvType type) {
  return type == planner::KvType::q8_0 ? test_support::reference_path("gemma3_4l.gguf") : kFloats;
}

/// Every second unit on the device.
Placement mixed(std::size_t layers, Device head) {
  auto placement = Placement::all_on(Device::cpu, layers);
  for (std::size_t i = 0; i < layers; ++i) {
    placement.attention[i] = i % 2 == 0 ? Device::emulated0 : Device::cpu;
    placement.ffn[i] = i % 3 == 0 ? Device::emulated0 : Device::cpu;
  }
  placement.head = head;
  return placement;
}

/// Only attention on the device, and the head.
Placement halves(std::size_t layers) {
  auto placement = Placement::all_on(Device::emulated0, layers);
  placement.ffn.assign(layers, Device::cpu);
  return placement;
}

class FullLoads : public testing::TestWithParam<std::uint32_t> {};

TEST_P(FullLoads, UseWhatThePlanGivesTheCpu) {
  expect_all_used(kQuantised, full_workload(GetParam()), std::nullopt);
  expect_all_used(kFloats, full_workload(GetParam()), std::nullopt);
}

TEST_P(FullLoads, UseWhatThePlanGivesADevice) {
  const auto all = [](std::size_t layers) { return Placement::all_on(Device::emulated0, layers); };
  expect_all_used(kQuantised, full_workload(GetParam()), all(kQuantisedLayers));
  expect_all_used(kFloats, full_workload(GetParam()), all(kFloatLayers));
}

TEST_P(FullLoads, UseWhatThePlanGivesBoth) {
  for (const auto head : {Device::cpu, Device::emulated0}) {
    expect_all_used(kQuantised, full_workload(GetParam()), mixed(kQuantisedLayers, head));
    expect_all_used(kFloats, full_workload(GetParam()), mixed(kFloatLayers, head));
  }
}

TEST_P(FullLoads, UseWhatIsPlannedForTheHeadAlone) {
  auto placement = Placement::all_on(Device::cpu, kFloatLayers);
  placement.head = Device::emulated0;
  expect_all_used(kFloats, full_workload(GetParam()), placement);
  placement = Placement::all_on(Device::emulated0, kFloatLayers);
  placement.head = Device::cpu;
  expect_all_used(kFloats, full_workload(GetParam()), placement);
}

/// Prompts that are streamed in chunks of so many rows and more, beside others.
struct StreamedLoad {
  std::uint32_t sequences = 1;
  std::uint32_t stream_rows = 1;
  std::uint32_t draft_rows = 0;
  planner::KvType kv_type = planner::KvType::f16;
};

class StreamedLoads : public testing::TestWithParam<StreamedLoad> {
 protected:
  static planner::Workload workload() {
    auto workload = full_workload(GetParam().sequences);
    workload.stream_rows = GetParam().stream_rows;
    workload.draft_rows = GetParam().draft_rows;
    workload.kv_type = GetParam().kv_type;
    return workload;
  }
  static std::filesystem::path floats() { return floats_with(GetParam().kv_type); }
};

TEST_P(StreamedLoads, UseWhatIsPlannedWhereTheCpuHasNoAttention) {
  expect_all_used(kQuantised, workload(), halves(kQuantisedLayers));
  expect_all_used(floats(), workload(), halves(kFloatLayers));
  auto head_on_cpu = halves(kFloatLayers);
  head_on_cpu.head = Device::cpu;
  expect_all_used(floats(), workload(), head_on_cpu);
}

TEST_P(StreamedLoads, UseWhatIsPlannedWhereBothDevicesHaveBothHalves) {
  for (const auto head : {Device::cpu, Device::emulated0}) {
    expect_all_used(floats(), workload(), mixed(kFloatLayers, head));
  }
}

TEST_P(StreamedLoads, UseWhatIsPlannedWhereNearlyAllIsOnOneDevice) {
  auto placement = Placement::all_on(Device::cpu, kFloatLayers);
  placement.attention[1] = Device::emulated0;
  expect_all_used(floats(), workload(), placement);
  placement = Placement::all_on(Device::emulated0, kFloatLayers);
  placement.ffn.back() = Device::cpu;
  expect_all_used(floats(), workload(), placement);
}

// In place go three sequences' three rows, one's eight or three's eight, which is a whole micro-batch.
INSTANTIATE_TEST_SUITE_P(Prompts, StreamedLoads,
                         testing::Values(StreamedLoad{3, 4}, StreamedLoad{1, 9}, StreamedLoad{3, 9},
                                         StreamedLoad{3, 4, 1, planner::KvType::q8_0}));

TEST_P(FullLoads, UseWhatIsPlannedForQuantisedKv) {
  auto workload = full_workload(GetParam());
  workload.kv_type = planner::KvType::q8_0;
  const auto floats = floats_with(workload.kv_type);
  expect_all_used(kQuantised, workload, std::nullopt);
  expect_all_used(floats, workload, mixed(kFloatLayers, Device::cpu));
}

// No sequence is as long as its part of a micro-batch.
TEST_P(FullLoads, UseWhatIsPlannedWhereTheContextIsShort) {
  auto workload = full_workload(GetParam());
  workload.micro_batch = 256;
  expect_all_used(kFloats, workload, std::nullopt);
  expect_all_used(kFloats, workload, mixed(kFloatLayers, Device::emulated0));
}

TEST_P(FullLoads, UseWhatIsPlannedForDrafts) {
  auto workload = full_workload(GetParam());
  workload.draft_rows = 1;
  expect_all_used(kFloats, workload, std::nullopt);
  expect_all_used(kFloats, workload, mixed(kFloatLayers, Device::emulated0));
}

INSTANTIATE_TEST_SUITE_P(Sequences, FullLoads, testing::Values(1U, 3U));

}  // namespace
}  // namespace tandem::engine
