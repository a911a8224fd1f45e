// Weights in the layout of the CPU's kernels: where they lie, and that they are the file's.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <sys/resource.h>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/repacked.h"
#include "memory/bind.h"
#include "memory/errors.h"
#include "memory/in_parallel.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "planner/repacking.h"
#include "tests/support/fixture.h"
#include "tests/support/process_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/typed_model.h"

namespace tandem::memory {
namespace {

using planner::Device;
using test_support::status_bytes;

constexpr unsigned kThreads = 3;

planner::Workload small_workload(planner::CpuWeights weights = planner::CpuWeights::repacked) {
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = 2;
  workload.micro_batch = 16;
  workload.cpu_weights = weights;
  return workload;
}

/// A model file, planned on the CPU.
struct Repackable {
  explicit Repackable(const std::filesystem::path& file)
      : path(file), header(model::read_header(path)), hyper(model::read_hyperparameters(header)) {}

  [[nodiscard]] planner::Plan plan(const planner::Workload& workload) const {
    return planner::plan_for_placement(planner::model_input(header, hyper), {}, workload,
                                       planner::builtin_machine("default"),
                                       planner::Placement::all_on(Device::cpu, hyper.layers.size()));
  }
  [[nodiscard]] BoundPlan bind(const planner::Workload& workload) const {
    return {plan(workload), header, hyper, nullptr, &cpu::panel_repacker()};
  }
  /// The file as it is now, read anew.
  [[nodiscard]] std::vector<std::byte> bytes_of(const model::TensorInfo& tensor) const {
    std::vector<std::byte> bytes(tensor.size_bytes);
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(tensor.offset_bytes));
    file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
    return bytes;
  }

  std::filesystem::path path;
  model::Header header;
  model::Hyperparameters hyper;
};

/// Every matrix of a bound plan with its name.
std::vector<std::pair<std::string, device::Matrix>> matrices_of(const BoundPlan& bound) {
  std::vector<std::pair<std::string, device::Matrix>> matrices{{"token_embd.weight", bound.head().out}};
  for (const auto& stage : bound.stages()) {
    for (const auto& unit : stage.units) {
      const auto add = [&](const char* stem, const device::Matrix& matrix) {
        if (matrix.data == nullptr) return;
        matrices.emplace_back("blk." + std::to_string(unit.layer) + "." + stem + ".weight", matrix);
      };
      add("attn_q", unit.attention.q);
      add("attn_k", unit.attention.k);
      add("attn_v", unit.attention.v);
      add("attn_output", unit.attention.out);
      add("ffn_gate", unit.ffn.gate);
      add("ffn_up", unit.ffn.up);
      add("ffn_down", unit.ffn.down);
    }
  }
  return matrices;
}

/// A matrix's bytes as they would be in a file.
std::vector<std::byte> in_file_order(const device::Matrix& matrix) {
  const auto row_bytes = cpu::row_bytes(matrix.type, matrix.in);
  std::vector<std::byte> bytes(row_bytes * matrix.out);
  if (matrix.layout == device::WeightLayout::rows) {
    std::memcpy(bytes.data(), matrix.data, bytes.size());
    return bytes;
  }
  const auto blocks = matrix.in / cpu::block_elems(matrix.type);
  for (std::uint32_t row = 0; row < matrix.out; ++row)
    cpu::blocks_from_repacked(matrix, row, 0, blocks, bytes.data() + row * row_bytes);
  return bytes;
}

bool lies_in(std::span<const std::byte> memory, const device::Matrix& matrix) {
  const auto* const data = static_cast<const std::byte*>(matrix.data);
  return data >= memory.data() && data < memory.data() + memory.size();
}

bool lies_in_an_arena(const BoundPlan& bound, const device::Matrix& matrix) {
  return std::ranges::any_of(bound.arenas(),
                             [&](const Arena& arena) { return lies_in(arena.own_memory(), matrix); });
}

void expect_exact(const BoundPlan& bound) {
  for (const auto& line : bound.ledger()) {
    EXPECT_EQ(line.allocated_bytes, line.planned_bytes) << to_string(line.purpose);
    EXPECT_EQ(line.used_bytes, line.planned_bytes) << to_string(line.purpose);
  }
}

TEST(Repacking, MatricesOfEveryTypeHaveTheBytesOfTheFile) {
  const test_support::TempDir directory;
  std::set<device::BlockType> repacked_types;
  std::uint64_t unaligned = 0;
  for (std::uint32_t seed = 0; seed < 16; ++seed) {
    const Repackable subject(test_support::write_typed_model(directory, seed));
    auto bound = subject.bind(small_workload());
    bound.load({}, kThreads);
    expect_exact(bound);
    std::uint64_t repacked_bytes = 0;
    for (const auto& [name, matrix] : matrices_of(bound)) {
      const auto& tensor = *subject.header.find_tensor(name);
      const bool whole = tensor.dims[0] % 256 == 0 && tensor.dims[1] % 16 == 0;
      ASSERT_EQ(matrix.layout == device::WeightLayout::panels, whole) << name;
      EXPECT_EQ(lies_in_an_arena(bound, matrix), whole) << name;
      EXPECT_EQ(in_file_order(matrix), subject.bytes_of(tensor)) << name << " of seed " << seed;
      if (matrix.layout == device::WeightLayout::rows) continue;
      repacked_types.insert(matrix.type);
      repacked_bytes += tensor.size_bytes;
      if (tensor.size_bytes % 64 != 0) {
        ++unaligned;
      } else {
        EXPECT_EQ(reinterpret_cast<std::uintptr_t>(matrix.data) % 64, 0U) << name;
      }
    }
    EXPECT_EQ(bound.repacked_bytes(), repacked_bytes);
    EXPECT_EQ(bound.embedding().table.data, bound.head().out.data);
    EXPECT_EQ(bound.embedding().table.layout, bound.head().out.layout);
  }
  EXPECT_EQ(repacked_types.size(), test_support::kWeightTypes.size());
  EXPECT_GT(unaligned, 0U) << "nothing lay behind the others";
}

TEST(Repacking, ThePlanIsTheSameToTheByte) {
  const test_support::TempDir directory;
  const Repackable subject(test_support::write_typed_model(directory, 1));
  EXPECT_EQ(subject.plan(small_workload()).arenas,
            subject.plan(small_workload(planner::CpuWeights::mapped)).arenas);
}

TEST(Repacking, WeightsThatAreToBeMappedStayInTheFile) {
  const test_support::TempDir directory;
  const Repackable subject(test_support::write_typed_model(directory, 2));
  auto bound = subject.bind(small_workload(planner::CpuWeights::mapped));
  bound.load({}, kThreads);
  expect_exact(bound);
  EXPECT_EQ(bound.repacked_bytes(), 0U);
  for (const auto& [name, matrix] : matrices_of(bound)) {
    EXPECT_EQ(matrix.layout, device::WeightLayout::rows) << name;
    EXPECT_EQ(matrix.data, subject.header.data(*subject.header.find_tensor(name)).data()) << name;
  }
}

TEST(Repacking, AHeadOfItsOwnIsRepackedAndTheEmbeddingIsNot) {
  const test_support::TempDir directory;
  auto tiny = test_support::TinyModel::gemma3();
  tiny.reshape_tensor("token_embd.weight", {32, 40}, 8);
  tiny.add_tensor("output.weight", {32, 40}, 8);
  // Rows of 32 elements are too short for anything else; a repacker that takes them shows who is asked.
  struct TakesAll final : device::Repacker {
    [[nodiscard]] device::WeightLayout layout() const noexcept override {
      return device::WeightLayout::panels;
    }
    [[nodiscard]] bool repacks(device::BlockType type, std::uint32_t, std::uint32_t) const noexcept override {
      return type == device::BlockType::q8_0;
    }
    [[nodiscard]] std::uint32_t row_step() const noexcept override { return 8; }
    void repack_rows(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                     std::uint32_t rows) const noexcept override {
      std::memcpy(to + std::size_t{first_row} * 34, part.data, std::size_t{rows} * 34);
    }
  };
  const TakesAll takes_all;
  const Repackable subject(directory.write("untied.gguf", tiny.file_bytes()));
  BoundPlan bound(subject.plan(small_workload()), subject.header, subject.hyper, nullptr, &takes_all);
  bound.load({}, kThreads);
  expect_exact(bound);
  EXPECT_EQ(bound.head().out.layout, device::WeightLayout::panels);
  EXPECT_EQ(bound.embedding().table.layout, device::WeightLayout::rows);
  EXPECT_EQ(bound.repacked_bytes(), 40U * 34);
}

TEST(Repacking, AHeadStoredInAnotherTypeIsRepackedToo) {
  const test_support::TempDir directory;
  constexpr std::uint32_t kFloatHead = 7;
  const Repackable subject(test_support::write_typed_model(directory, kFloatHead));
  auto asked = small_workload();
  for (const auto type : {planner::HeadType::q8_0, planner::HeadType::q6_k}) {
    asked.head_type = type;
    ASSERT_TRUE(model::is_float(subject.header.find_tensor("token_embd.weight")->type));
    auto in_rows = asked;
    in_rows.cpu_weights = planner::CpuWeights::mapped;
    auto bound = subject.bind(asked);
    auto expected = subject.bind(in_rows);
    bound.load({}, kThreads);
    expected.load({}, 1);
    expect_exact(bound);
    ASSERT_EQ(bound.head().out.layout, device::WeightLayout::panels);
    ASSERT_EQ(expected.head().out.layout, device::WeightLayout::rows);
    EXPECT_EQ(in_file_order(bound.head().out), in_file_order(expected.head().out));
  }
}

TEST(Repacking, ThePlannerKnowsWhatTheBackendTakes) {
  for (const auto& info : model::tensor_types()) {
    for (const std::uint32_t in : {0U, 64U, 128U, 256U, 384U, 512U, 3840U, 4000U}) {
      for (const std::uint32_t out : {8U, 16U, 24U, 48U, 1000U, 1024U, 262144U}) {
        const auto type = static_cast<device::BlockType>(info.type);
        EXPECT_EQ(planner::can_be_repacked(in, out), cpu::best_repacker().repacks(type, in, out))
            << info.name << ' ' << in << " x " << out;
      }
    }
  }
}

/// A model whose head alone is 143 MB; all zero, so that it takes no room on disk.
std::filesystem::path write_large_model(const test_support::TempDir& directory) {
  constexpr std::uint64_t kWidth = 256, kVocab = 1 << 19;
  auto tiny = test_support::TinyModel::gemma3();
  const std::string key = "gemma3.embedding_length";
  tiny.set_key(key, test_support::key_u32(key, kWidth));
  for (int layer = 0; layer < 6; ++layer) {
    const auto reshape = [&](const char* stem, const std::vector<std::uint64_t>& dims) {
      tiny.reshape_tensor("blk." + std::to_string(layer) + "." + stem + ".weight", dims);
    };
    for (const auto* norm : {"attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"})
      reshape(norm, {kWidth});
    reshape("attn_q", {kWidth, 64});
    reshape("attn_k", {kWidth, 32});
    reshape("attn_v", {kWidth, 32});
    reshape("attn_output", {64, kWidth});
    reshape("ffn_gate", {kWidth, 64});
    reshape("ffn_up", {kWidth, 64});
    reshape("ffn_down", {64, kWidth});
  }
  tiny.reshape_tensor("token_embd.weight", {kWidth, kVocab}, 8);
  tiny.reshape_tensor("output_norm.weight", {kWidth});
  auto path = directory.write("large.gguf", tiny.header_bytes());
  std::filesystem::resize_file(path, kWidth * kVocab * 4 + (4 << 20));
  return path;
}

constexpr std::uint64_t kLargeBytes = (std::uint64_t{1} << 19) * 272;

TEST(Repacking, MemoryHoldsTheWeightsOnceAllTheTime) {
  const test_support::TempDir directory;
  const Repackable subject(write_large_model(directory));
  const auto plan = subject.plan(small_workload());
  constexpr std::uint64_t kOnItsWayBytes = std::uint64_t{8} << 20;  // what is worked on
  static_assert(kOnItsWayBytes < kLargeBytes / 2);
  test_support::reset_peak();
  const auto before = status_bytes("VmHWM");
  auto bound = subject.bind(small_workload());
  std::uint64_t reports = 0;
  bound.load([&](std::uint64_t, std::uint64_t) { ++reports; }, kThreads);
  EXPECT_LE(status_bytes("VmHWM") - before, plan.ram_bytes + kOnItsWayBytes);
  EXPECT_LE(test_support::mapped_resident_bytes(subject.path),
            subject.header.tensor_bytes - kLargeBytes + (4U << 20));
  EXPECT_GE(status_bytes("RssAnon"), kLargeBytes);
  EXPECT_GT(reports, kLargeBytes >> 23U) << "progress is in steps of some megabytes";
}

TEST(Repacking, AFileThatIsCutOffMeanwhileIsAnErrorThatSaysSo) {
  const test_support::TempDir directory;
  for (const auto weights : {planner::CpuWeights::repacked, planner::CpuWeights::mapped}) {
    const Repackable subject(write_large_model(directory));
    auto bound = subject.bind(small_workload(weights));
    std::filesystem::resize_file(subject.path, kLargeBytes / 2);
    EXPECT_THAT(
        [&] { bound.load({}, kThreads); },
        testing::ThrowsMessage<Error>(testing::HasSubstr(subject.path.string() + ": ends before byte ")));
  }
}

/// Weights of two models in one, and nothing to tell by.
TEST(Repacking, AFileThatIsWrittenToMeanwhileIsAnErrorThatSaysSo) {
  const test_support::TempDir directory;
  for (const auto weights : {planner::CpuWeights::repacked, planner::CpuWeights::mapped}) {
    const auto path = write_large_model(directory);
    std::filesystem::last_write_time(path,
                                     std::filesystem::file_time_type::clock::now() - std::chrono::hours(1));
    const Repackable subject(path);
    EXPECT_NO_THROW(subject.bind(small_workload(weights)).load({}, kThreads));
    auto bound = subject.bind(small_workload(weights));
    bool written = false;
    const auto write_halfway = [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
      if (done_bytes < total_bytes / 2 || std::exchange(written, true)) return;
      std::ofstream(path, std::ios::binary | std::ios::in | std::ios::out).seekp(kLargeBytes / 2).put('x');
    };
    EXPECT_THAT([&] { bound.load(write_halfway, kThreads); },
                testing::ThrowsMessage<Error>(
                    testing::HasSubstr(path.string() + ": was written to while it was read")));
    EXPECT_TRUE(written);
  }
}

TEST(Repacking, LoadingEndsWhenProgressThrows) {
  struct Enough {};
  const test_support::TempDir directory;
  const Repackable subject(write_large_model(directory));
  auto bound = subject.bind(small_workload());
  std::uint64_t seen_bytes = 0;
  const auto stop_halfway = [&](std::uint64_t done_bytes, std::uint64_t total_bytes) {
    seen_bytes = done_bytes;
    if (done_bytes > total_bytes / 2) throw Enough{};
  };
  EXPECT_THROW(bound.load(stop_halfway, kThreads), Enough);
  EXPECT_LT(seen_bytes, kLargeBytes);
}

TEST(Repacking, MemoryThatTheSystemRefusesIsATypedError) {
  const test_support::TempDir directory;
  const Repackable subject(write_large_model(directory));
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_AS, &before), 0);
  auto tight = before;
  tight.rlim_cur = status_bytes("VmSize") + kLargeBytes / 2;
  ASSERT_EQ(setrlimit(RLIMIT_AS, &tight), 0);
  EXPECT_THROW((void)subject.bind(small_workload()), OutOfMemory);
  EXPECT_NO_THROW((void)subject.bind(small_workload(planner::CpuWeights::mapped)));
  ASSERT_EQ(setrlimit(RLIMIT_AS, &before), 0);
}

TEST(InParallel, DoesAllOfItOnceAndTells) {
  for (const std::size_t n : {0U, 1U, 2U, 1000U}) {
    for (const unsigned threads : {1U, 3U, 2000U}) {
      std::vector<std::atomic<int>> worked(n);
      std::vector<int> told(n);
      in_parallel(
          threads, n, [&](std::size_t i) { ++worked[i]; },
          [&](std::size_t i) {
            EXPECT_EQ(worked[i], 1);
            ++told[i];
          });
      EXPECT_TRUE(std::ranges::all_of(worked, [](const auto& times) { return times == 1; }));
      EXPECT_EQ(std::ranges::count(told, 1), static_cast<std::ptrdiff_t>(n));
    }
  }
}

TEST(InParallel, WhatIsThrownEndsItAndArrives) {
  constexpr std::size_t kMany = 1 << 20;
  std::atomic<std::size_t> worked = 0;
  const auto fail_at_ten = [&](std::size_t i) {
    ++worked;
    if (i == 10) throw std::runtime_error("ten");
  };
  EXPECT_THROW(in_parallel(2, kMany, fail_at_ten, [](std::size_t) {}), std::runtime_error);
  EXPECT_LT(worked, kMany);
  worked = 0;
  const auto count = [&](std::size_t) { ++worked; };
  const auto refuse = [](std::size_t i) { throw std::out_of_range(std::to_string(i)); };
  EXPECT_THROW(in_parallel(2, kMany, count, refuse), std::out_of_range);
  EXPECT_LT(worked, kMany);
}

}  // namespace
}  // namespace tandem::memory
