#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "memory/bind.h"
#include "memory/errors.h"
#include "memory/pages.h"
#include "planner/errors.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/support/fixture.h"
#include "tests/support/page_cache.h"
#include "tests/support/process_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace tandem::memory {
namespace {

using planner::Device;
using planner::Purpose;
using test_support::status_bytes;
using testing::HasSubstr;

constexpr std::array kModels{"gemma3_7l.gguf", "gemma3_62l.gguf", "gemma3_4l.gguf",
                             "gemma4_8l.gguf", "gemma4_4l.gguf",  "gemma4_7l_sliding.gguf"};

struct Subject {
  explicit Subject(const char* name) : Subject(test_support::reference_path(name)) {}
  explicit Subject(const std::filesystem::path& path)
      : header(model::read_header(path)), hyper(model::read_hyperparameters(header)) {}

  [[nodiscard]] planner::Plan plan(const planner::Workload& workload,
                                   const planner::Budget& budget = {}) const {
    return planner::make_plan(planner::model_input(header, hyper), budget, workload,
                              planner::builtin_machine("default"), planner::Devices{std::nullopt});
  }
  [[nodiscard]] BoundPlan bind(planner::Plan plan) const { return {std::move(plan), header, hyper}; }

  model::Header header;
  model::Hyperparameters hyper;
};

planner::Workload workload(std::uint64_t max_seq_len, std::uint32_t sequences, std::uint32_t micro_batch,
                           planner::KvType kv_type = planner::KvType::f16) {
  planner::Workload workload;
  workload.max_seq_len = max_seq_len;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.kv_type = kv_type;
  return workload;
}

TEST(Bind, TheLedgerOfRandomPlansBalancesByteForByte) {
  std::mt19937 random(20);
  const auto pick = [&](std::uint32_t low, std::uint32_t high) { return low + random() % (high - low + 1); };
  for (int round = 0; round < 60; ++round) {
    const Subject subject(kModels[random() % kModels.size()]);
    const auto sequences = pick(1, 9);
    const auto type = pick(0, 1) == 0 ? planner::KvType::f32 : planner::KvType::f16;
    planner::Budget budget;
    budget.ram_reserve_bytes = pick(0, 1) * 12345;
    const auto plan = subject.plan(workload(pick(1, 900), sequences, sequences + pick(0, 70), type), budget);
    const auto bound = subject.bind(plan);
    const auto ledger = bound.ledger();
    ASSERT_EQ(ledger.size(), plan.arenas.size());
    for (std::size_t i = 0; i < ledger.size(); ++i) {
      EXPECT_EQ(ledger[i].planned_bytes, plan.arenas[i].bytes);
      EXPECT_EQ(ledger[i].purpose, plan.arenas[i].purpose);
      if (ledger[i].purpose == Purpose::reserve) {
        EXPECT_EQ(ledger[i].allocated_bytes, 0U);
        continue;
      }
      EXPECT_EQ(ledger[i].allocated_bytes, plan.arenas[i].bytes) << to_string(ledger[i].purpose);
      EXPECT_EQ(ledger[i].used_bytes, plan.arenas[i].bytes) << to_string(ledger[i].purpose);
    }
  }
}

/// All units of a bound plan, in order.
std::vector<device::Unit> units_of(const BoundPlan& bound) {
  std::vector<device::Unit> units;
  for (const auto& stage : bound.stages()) units.insert(units.end(), stage.units.begin(), stage.units.end());
  return units;
}

TEST(Bind, EveryTensorIsUsedWhereItLiesInTheFile) {
  for (const auto* name : kModels) {
    const Subject subject(name);
    const auto bound = subject.bind(subject.plan(workload(64, 2, 16)));
    std::set<const void*> bound_data{bound.head().norm, bound.head().out.data, bound.embedding().table.data};
    std::size_t scales = 0;
    for (const auto& unit : units_of(bound)) {
      const auto& a = unit.attention;
      const auto& f = unit.ffn;
      for (const void* data : {static_cast<const void*>(a.norm), static_cast<const void*>(a.post_norm),
                               static_cast<const void*>(a.q_norm), static_cast<const void*>(a.k_norm),
                               a.q.data, a.k.data, a.v.data, a.out.data, static_cast<const void*>(f.norm),
                               static_cast<const void*>(f.post_norm), f.gate.data, f.up.data, f.down.data}) {
        if (data != nullptr) bound_data.insert(data);
      }
      if (unit.kind == device::UnitKind::ffn && f.output_scale != 1.0F) ++scales;
    }
    std::size_t placed = 0;
    for (const auto& tensor : subject.header.tensors) {
      if (tensor.name == "rope_freqs.weight") continue;
      if (tensor.name.ends_with("layer_output_scale.weight")) {
        ASSERT_GT(scales--, 0U) << name;
        continue;
      }
      ++placed;
      EXPECT_TRUE(bound_data.contains(subject.header.data(tensor).data())) << name << ": " << tensor.name;
    }
    EXPECT_EQ(bound_data.size(), placed) << name;
    EXPECT_EQ(scales, 0U) << name;
  }
}

TEST(Bind, CachesOfDifferentLayersDoNotOverlap) {
  for (const auto* name : kModels) {
    const Subject subject(name);
    const auto bound = subject.bind(subject.plan(workload(50, 3, 8)));
    std::map<const std::byte*, const std::byte*> ranges;  // begin to end
    for (const auto& unit : units_of(bound)) {
      if (unit.kind != device::UnitKind::attention) continue;
      const auto& kv = unit.attention.kv;
      const bool sliding = unit.attention.window > 0;
      EXPECT_EQ(kv.cells, sliding ? std::min(50U, unit.attention.window) : 0U);
      EXPECT_EQ(kv.page_tok, sliding ? 0U : bound.plan().kv_pages.page_tok);
      const auto rows = sliding ? 3 * kv.cells : bound.plan().kv_pages.pages * kv.page_tok;
      ranges[kv.rows] = kv.rows + rows * kv.row_bytes;
    }
    EXPECT_EQ(ranges.size(), subject.hyper.layers.size());
    const std::byte* end = nullptr;
    for (const auto& [first, last] : ranges) {
      EXPECT_GE(first, end);
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(first) % planner::kBufferAlignmentBytes, 0U);
      end = last;
    }
  }
}

/// KV bytes allocated for the layers of one kind, at `max_seq_len`.
std::uint64_t kv_bytes(const Subject& subject, std::uint64_t max_seq_len, model::LayerKind kind) {
  const auto bound = subject.bind(subject.plan(workload(max_seq_len, 2, 16)));
  std::uint64_t bytes = 0;
  for (const auto& unit : units_of(bound)) {
    if (unit.kind != device::UnitKind::attention) continue;
    const auto& kv = unit.attention.kv;
    const bool sliding = unit.attention.window > 0;
    if (sliding != (kind == model::LayerKind::sliding)) continue;
    bytes +=
        kv.row_bytes * (sliding ? 2 * std::uint64_t{kv.cells} : bound.plan().kv_pages.pages * kv.page_tok);
  }
  return bytes;
}

TEST(Bind, AContextOf32kDiffersFrom4kByGlobalLayersOnly) {
  for (const auto* name : {"gemma3_7l.gguf", "gemma4_8l.gguf"}) {
    const Subject subject(name);
    EXPECT_EQ(kv_bytes(subject, 32768, model::LayerKind::sliding),
              kv_bytes(subject, 4096, model::LayerKind::sliding));
    EXPECT_EQ(kv_bytes(subject, 32768, model::LayerKind::global),
              8 * kv_bytes(subject, 4096, model::LayerKind::global));
    const auto kv_line = [&](std::uint64_t max_seq_len) {
      return subject.bind(subject.plan(workload(max_seq_len, 2, 16)))
          .plan()
          .arena_bytes(Device::cpu, Purpose::kv);
    };
    EXPECT_EQ(kv_line(32768) - kv_line(4096), 7 * kv_bytes(subject, 4096, model::LayerKind::global));
  }
}

/// What binding `plan` is refused with; empty if it is not.
std::string refusal(const Subject& subject, const planner::Plan& plan) {
  try {
    static_cast<void>(subject.bind(plan));
  } catch (const planner::BadPlan& refused) {
    return refused.what();
  }
  return {};
}

TEST(Bind, PlansThatCannotBeExecutedAreRefused) {
  const Subject subject("gemma4_8l.gguf");
  const auto good = subject.plan(workload(64, 2, 16));
  EXPECT_EQ(refusal(subject, good), "");
  EXPECT_THAT(refusal(Subject("gemma4_4l.gguf"), good), HasSubstr("does not match the model file"));

  auto plan = good;
  plan.fits = false;
  EXPECT_THAT(refusal(subject, plan), HasSubstr("fits"));
  plan = good;
  plan.arenas[0].device = Device::cuda0;
  EXPECT_THAT(refusal(subject, plan), HasSubstr("there is no cuda0"));
  plan = good;
  plan.layers[2].kv_cells -= 1;
  EXPECT_THAT(refusal(subject, plan), HasSubstr("kv"));
  plan = good;
  std::swap(plan.stages[0].units[0], plan.stages[0].units[1]);
  EXPECT_THAT(refusal(subject, plan), HasSubstr("stages"));
  plan = good;
  plan.head.bytes = ~std::uint64_t{0};
  EXPECT_THAT(refusal(subject, plan), HasSubstr("plan: "));
  plan = subject.plan(workload(64, 2, 16), {.ram_bytes = 1000});
  EXPECT_THAT(refusal(subject, plan), HasSubstr("fits"));
}

/// Element `index` of Q8_0 blocks, and the distance between its levels.
std::pair<float, float> q8_0_element(const std::byte* blocks, std::size_t index) {
  constexpr std::size_t kBlockElems = 32;
  constexpr std::size_t kBlockBytes = 34;
  const auto* block = blocks + index / kBlockElems * kBlockBytes;
  std::uint16_t half = 0;
  std::memcpy(&half, block, sizeof half);
  const auto exponent = half >> 10U;
  const auto fraction = static_cast<float>(half & 0x3ffU) / 1024;
  const auto scale = exponent == 0 ? std::ldexp(fraction, -14) : std::ldexp(1 + fraction, exponent - 15);
  return {scale * static_cast<std::int8_t>(block[2 + index % kBlockElems]), scale};
}

TEST(Bind, AFloatHeadIsStoredAsThePlanSays) {
  for (const auto* name : kModels) {
    const Subject subject(name);
    auto asked = workload(64, 2, 16);
    asked.head_type = planner::HeadType::q8_0;
    const auto plan = subject.plan(asked);
    ASSERT_EQ(plan.head.type, "Q8_0");
    ASSERT_EQ(plan.head.file_type, "F32");
    auto bound = subject.bind(plan);
    for (const auto& line : bound.ledger()) EXPECT_EQ(line.used_bytes, line.planned_bytes);
    const auto& head = bound.head().out;
    EXPECT_EQ(head.type, device::BlockType::q8_0);
    EXPECT_EQ(bound.embedding().table.data, head.data);
    std::uint64_t last_bytes = 0;
    bound.load([&](std::uint64_t done_bytes, std::uint64_t) { last_bytes = done_bytes; });
    EXPECT_LT(last_bytes, plan.ram_bytes + plan.head.file_bytes)
        << "the file's copy of the head is read again";
    const auto* tensor = subject.header.find_tensor("token_embd.weight");
    const auto file = subject.header.data(*tensor);
    const auto* floats = reinterpret_cast<const float*>(file.data());
    for (std::size_t i = 0; i < tensor->elems(); ++i) {
      const auto [value, step] = q8_0_element(static_cast<const std::byte*>(head.data), i);
      // Half a step, and what the half-precision scale is off by, 127 times 2^-11 of a step.
      ASSERT_LE(std::fabs(value - floats[i]), step * (0.5F + 127.0F / 2048)) << name << " element " << i;
    }
  }
}

TEST(Bind, AHeadWhoseRowsAreNoWholeBlocksIsNotPlanned) {
  const Subject subject("gemma3_4l.gguf");  // rows of 64, Q6_K stores 256
  auto asked = workload(64, 2, 16);
  asked.head_type = planner::HeadType::q6_k;
  EXPECT_THROW((void)subject.plan(asked), planner::BadQuestion);
}

TEST(Bind, EveryArenaLineIsHeldToTheByte) {
  const Subject subject("gemma3_4l.gguf");
  const auto good = subject.plan(workload(64, 2, 16));
  for (std::size_t i = 0; i < good.arenas.size(); ++i) {
    for (const int delta : {-64, 64}) {
      auto plan = good;
      plan.arenas[i].bytes += static_cast<std::uint64_t>(delta);
      plan.ram_bytes += static_cast<std::uint64_t>(delta);
      EXPECT_NE(refusal(subject, plan), "") << to_string(plan.arenas[i].purpose) << delta;
    }
  }
}

/// A file in the temporary directory with the reference model's first `size` bytes.
class CutModel {
 public:
  explicit CutModel(std::uintmax_t size) {
    std::filesystem::copy_file(test_support::reference_path("gemma4_4l.gguf"), path_,
                               std::filesystem::copy_options::overwrite_existing);
    std::filesystem::resize_file(path_, size);
  }
  ~CutModel() { std::filesystem::remove(path_); }
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  const std::filesystem::path path_ = std::filesystem::path(testing::TempDir()) / "cut.gguf";
};

TEST(Bind, MissingTensorDataIsRefused) {
  const CutModel cut(std::filesystem::file_size(test_support::reference_path("gemma4_4l.gguf")) - 64);
  const auto header = model::read_header(cut.path());
  const auto hyper = model::read_hyperparameters(header);
  ASSERT_GT(header.missing_bytes, 0U);
  const auto plan = planner::make_plan(planner::model_input(header, hyper), {}, workload(64, 2, 16),
                                       planner::builtin_machine("default"), planner::Devices{std::nullopt});
  EXPECT_THROW(BoundPlan(plan, header, hyper), model::BadModel);
}

TEST(Bind, LoadingReportsGrowingProgressUpToEverything) {
  const Subject subject("gemma4_4l.gguf");
  auto bound = subject.bind(subject.plan(workload(64, 2, 16)));
  std::vector<std::uint64_t> done;
  std::uint64_t total = 0;
  bound.load([&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
    done.push_back(done_bytes);
    total = total_bytes;
  });
  EXPECT_TRUE(std::ranges::is_sorted(done));
  EXPECT_EQ(done.back(), total);
  EXPECT_GT(total, subject.header.tensor_bytes);
}

/// What loading says it reads of `model` and its arenas.
std::uint64_t loaded_bytes(const test_support::TinyModel& model) {
  const auto file = std::make_shared<const std::string>(model.file_bytes());
  const auto header = model::parse_header("tiny.gguf", std::as_bytes(std::span(*file)), file);
  const auto hyper = model::read_hyperparameters(header);
  BoundPlan bound(planner::make_plan(planner::model_input(header, hyper), {}, workload(64, 2, 16),
                                     planner::builtin_machine("default"), planner::Devices{std::nullopt}),
                  header, hyper);
  std::uint64_t last = 0;
  std::uint64_t total = 0;
  bound.load([&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
    last = done_bytes;
    total = total_bytes;
  });
  EXPECT_EQ(last, total);
  return total;
}

TEST(Bind, LoadingLeavesTensorsOfVisionAndAudioOnDisk) {
  const auto text = test_support::TinyModel::gemma3();
  auto whole = text;
  whole.add_tensor("v.blk.0.attn_q.weight", {512, 64});
  whole.add_tensor("a.conv.weight", {64, 64});
  whole.add_tensor("mm.input_projection.weight", {64, 64});
  EXPECT_EQ(loaded_bytes(whole), loaded_bytes(text));
}

/// A copy of a model in a directory of its own, that the page cache does not hold where that can be had.
std::filesystem::path uncached_copy(const test_support::TempDir& directory, const char* name) {
  const auto path = directory.path() / name;
  std::filesystem::copy_file(test_support::reference_path(name), path);
  test_support::leave_page_cache(path);
  return path;
}

TEST(Bind, AFileIsInMemoryOnceItIsLoaded) {
  const test_support::TempDir directory;
  const auto path = uncached_copy(directory, "gemma4_8l.gguf");
  const Subject subject(path);
  auto bound = subject.bind(subject.plan(workload(64, 2, 16)));
  bound.load({}, 3);
  for (const auto& tensor : subject.header.tensors) EXPECT_TRUE(is_cached(subject.header.data(tensor)));
  EXPECT_GE(test_support::mapped_resident_bytes(path), subject.header.tensor_bytes);
}

TEST(Bind, AFileThatIsCutOffMeanwhileIsAnErrorThatSaysWhere) {
  const test_support::TempDir directory;
  const auto path = uncached_copy(directory, "gemma4_8l.gguf");
  const Subject subject(path);
  auto bound = subject.bind(subject.plan(workload(64, 2, 16)));
  std::filesystem::resize_file(path, std::filesystem::file_size(path) / 2);
  EXPECT_THAT([&] { bound.load({}, 3); },
              testing::ThrowsMessage<Error>(HasSubstr("gemma4_8l.gguf: ends before byte")));
}

TEST(Bind, TheKernelAgreesWithTheLedger) {
  const Subject subject("gemma4_8l.gguf");
  const auto before = status_bytes("RssAnon");
  ASSERT_GT(before, 0U);
  auto bound = subject.bind(subject.plan(workload(262144, 8, 512)));
  bound.load({});
  const auto after = status_bytes("RssAnon");
  std::uint64_t allocated = 0;
  std::uint64_t lines = 0;
  for (const auto& line : bound.ledger()) {
    if (line.purpose == Purpose::weights || line.purpose == Purpose::head) continue;  // in the mapped file
    allocated += line.allocated_bytes;
    ++lines;
  }
  constexpr std::uint64_t kSlackPerAllocation = 2 << 20;
  ASSERT_GT(allocated, 20 * lines * kSlackPerAllocation);
  EXPECT_GE(after - before, allocated);
  EXPECT_LE(after - before, allocated + lines * kSlackPerAllocation);
}

}  // namespace
}  // namespace tandem::memory
