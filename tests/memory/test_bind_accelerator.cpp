// Plans that use an accelerator, made true on the emulated device, whose own count of bytes is the witness.

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/repacked.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "backends/cuda/emulation/sanitizers.h"
#include "memory/bind.h"
#include "memory/errors.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "planner/streaming.h"
#include "tests/support/fixture.h"
#include "tests/support/process_memory.h"
#include "tests/support/temp_dir.h"
#include "tests/support/tiny_model.h"

namespace tandem::memory {
namespace {

using planner::Device;
using planner::Purpose;

#if defined(TANDEM_TSAN)
constexpr bool kResidentMemoryCounts = false;  // ThreadSanitizer keeps several bytes for each that is written
#else
constexpr bool kResidentMemoryCounts = true;
#endif

constexpr std::array kModels{"gemma3_7l.gguf", "gemma3_4l.gguf", "gemma4_8l.gguf", "gemma4_4l.gguf"};
constexpr std::uint64_t kDeviceBytes = 1 << 28;

/// Passes everything on, and counts what is allocated.
class CountingAccelerator final : public device::Accelerator {
 public:
  explicit CountingAccelerator(const cuda::emulation::Options& options)
      : inner_(cuda::make_accelerator(cuda::emulation::make_device(options))) {}

  [[nodiscard]] std::uint64_t pinned_bytes() const { return pinned_bytes_; }
  [[nodiscard]] std::uint64_t used_bytes() const { return memory().total_bytes - memory().free_bytes; }

  [[nodiscard]] device::MemoryInfo memory() const override { return inner_->memory(); }
  std::byte* allocate(std::uint64_t bytes) override { return inner_->allocate(bytes); }
  std::byte* allocate_pinned(std::uint64_t bytes) override {
    pinned_bytes_ += bytes;
    return inner_->allocate_pinned(bytes);
  }
  void set_load_buffer(std::byte* pinned, std::uint64_t bytes) override {
    inner_->set_load_buffer(pinned, bytes);
  }
  void upload(std::byte* to, const void* from, std::uint64_t bytes) override {
    inner_->upload(to, from, bytes);
  }
  void upload_rows(std::byte* to, const device::Matrix& shape, std::uint32_t first_row, std::uint32_t rows,
                   const device::ReadBytes& read) override {
    inner_->upload_rows(to, shape, first_row, rows, read);
  }
  std::unique_ptr<device::Stage> make_stage(const device::Unit* units, std::size_t n_units,
                                            const device::StageShape& shape,
                                            const device::Scratch& scratch) override {
    return inner_->make_stage(units, n_units, shape, scratch);
  }
  std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                     const device::Head& head,
                                                     const device::StageShape& shape,
                                                     const device::Scratch& scratch) override {
    return inner_->make_head_stage(embedding, head, shape, scratch);
  }
  void set_step_buffers(const device::StepBuffers& buffers) override { inner_->set_step_buffers(buffers); }
  void set_stream_buffers(const device::StreamBuffers& buffers) override {
    inner_->set_stream_buffers(buffers);
  }
  void set_graph_limit(std::uint64_t bytes) override { inner_->set_graph_limit(bytes); }
  [[nodiscard]] std::uint64_t graph_bytes() const override { return inner_->graph_bytes(); }
  [[nodiscard]] device::RecordedSteps recorded_steps() const override { return inner_->recorded_steps(); }
  void begin(const device::MicroBatch& batch) override { inner_->begin(batch); }
  void reduce(const device::LogitReduction& reduction) override { inner_->reduce(reduction); }
  void send(float* to, const float* from_pinned, std::uint64_t bytes) override {
    inner_->send(to, from_pinned, bytes);
  }
  void receive(float* to_pinned, const float* from, std::uint64_t bytes) override {
    inner_->receive(to_pinned, from, bytes);
  }
  void wait() override { inner_->wait(); }

 private:
  std::unique_ptr<device::Accelerator> inner_;
  std::uint64_t pinned_bytes_ = 0;
};

struct Subject {
  explicit Subject(const char* name) : Subject(test_support::reference_path(name)) {}
  explicit Subject(const std::filesystem::path& path)
      : header(model::read_header(path)), hyper(model::read_hyperparameters(header)) {}

  [[nodiscard]] planner::Plan plan(const planner::Workload& workload, const planner::Placement& placement,
                                   const planner::Budget& budget = {}) const {
    return planner::plan_for_placement(planner::model_input(header, hyper), budget, workload,
                                       planner::builtin_machine("default"), placement);
  }
  [[nodiscard]] planner::Placement placement(std::mt19937& random) const {
    auto placement = planner::Placement::all_on(Device::cpu, hyper.layers.size());
    for (const auto unit : planner::all_units(hyper.layers.size())) {
      if (random() % 2 == 0) placement.move(unit, Device::emulated0);
    }
    placement.attention[0] = Device::emulated0;  // at least one unit
    return placement;
  }

  model::Header header;
  model::Hyperparameters hyper;
};

planner::Workload random_workload(std::mt19937& random) {
  planner::Workload workload;
  workload.max_seq_len = 1 + random() % 200;
  workload.sequences = 1 + static_cast<std::uint32_t>(random() % 5);
  workload.draft_rows = static_cast<std::uint32_t>(random() % 3);
  workload.micro_batch =
      workload.sequences * (workload.draft_rows + 1) + static_cast<std::uint32_t>(random() % 40);
  workload.kv_type = random() % 2 == 0 ? planner::KvType::f32 : planner::KvType::f16;
  workload.stream_rows = static_cast<std::uint32_t>(random() % 2 * (1 + random() % workload.micro_batch));
  workload.head_type = random() % 4 == 0 ? planner::HeadType::q8_0 : planner::HeadType::keep;
  return workload;
}

/// Bytes of `plan` on the device, less what nobody allocates: graphs come with the stages.
std::uint64_t planned_on_device(const planner::Plan& plan) {
  auto bytes = plan.vram_bytes;
  for (const auto purpose : {Purpose::reserve, Purpose::graphs})
    bytes -= plan.arena_bytes(Device::emulated0, purpose);
  return bytes;
}

TEST(BindAccelerator, TheDeviceCountsWhatThePlanSaysByteForByte) {
  std::mt19937 random(31);
  for (int round = 0; round < 60; ++round) {
    const Subject subject(kModels[random() % kModels.size()]);
    planner::Budget budget;
    budget.vram_reserve_bytes = random() % 2 * 4321;
    const auto plan = subject.plan(random_workload(random), subject.placement(random), budget);
    CountingAccelerator accelerator({.memory_bytes = kDeviceBytes, .seed = random()});
    BoundPlan bound(plan, subject.header, subject.hyper, &accelerator);
    bound.load({});

    EXPECT_EQ(accelerator.used_bytes(), planned_on_device(plan)) << round;
    EXPECT_EQ(bound.vram_use().taken_bytes, planned_on_device(plan));
    EXPECT_TRUE(bound.vram_use().agree());
    const bool head_is_there = plan.head.device == Device::emulated0;
    const auto logits_bytes = head_is_there ? plan.arena_bytes(Device::cpu, Purpose::logits) : 0;
    EXPECT_EQ(accelerator.pinned_bytes(), plan.arena_bytes(Device::cpu, Purpose::transfer) + logits_bytes);
    const auto ledger = bound.ledger();
    ASSERT_EQ(ledger.size(), plan.arenas.size());
    for (std::size_t i = 0; i < ledger.size(); ++i) {
      EXPECT_EQ(ledger[i].device, plan.arenas[i].device);
      EXPECT_EQ(ledger[i].purpose, plan.arenas[i].purpose);
      const auto expected = ledger[i].purpose == Purpose::reserve ? 0 : plan.arenas[i].bytes;
      EXPECT_EQ(ledger[i].allocated_bytes, expected) << to_string(ledger[i].purpose);
      const auto used = ledger[i].purpose == Purpose::graphs ? 0 : expected;
      EXPECT_EQ(ledger[i].used_bytes, used) << to_string(ledger[i].purpose);
    }
  }
}

TEST(BindAccelerator, LessFreeMemoryThanPlannedIsRefusedBeforeAnythingIsTaken) {
  std::mt19937 random(32);
  const Subject subject("gemma4_4l.gguf");
  const auto plan = subject.plan(random_workload(random), subject.placement(random));
  const auto needed_bytes = planned_on_device(plan) + plan.arena_bytes(Device::emulated0, Purpose::graphs);
  CountingAccelerator just_enough({.memory_bytes = needed_bytes});
  EXPECT_NO_THROW(BoundPlan(plan, subject.header, subject.hyper, &just_enough));
  CountingAccelerator too_small({.memory_bytes = needed_bytes - 1});
  EXPECT_THROW(BoundPlan(plan, subject.header, subject.hyper, &too_small), OutOfMemory);
  EXPECT_EQ(too_small.used_bytes(), 0U);
  EXPECT_EQ(too_small.pinned_bytes(), 0U);
}

TEST(VramUse, AgreesToWithinTwoMebibytesAnAllocation) {
  constexpr std::uint64_t kMiB = 1 << 20;
  EXPECT_TRUE((VramUse{100 * kMiB, 94 * kMiB, 3}.agree()));
  EXPECT_FALSE((VramUse{100 * kMiB + 1, 94 * kMiB, 3}.agree()));
  EXPECT_TRUE((VramUse{88 * kMiB, 94 * kMiB, 3}.agree())) << "room that was there before";
  EXPECT_FALSE((VramUse{88 * kMiB - 1, 94 * kMiB, 3}.agree()));
}

TEST(BindAccelerator, TheDriversLineIsWhatItTook) {
  const Subject subject("gemma4_4l.gguf");
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.micro_batch = 16;
  const auto plan = subject.plan(workload, planner::Placement::all_on(Device::cuda0, 4));
  const auto planned_bytes = plan.arena_bytes(Device::cuda0, Purpose::driver);
  ASSERT_GT(planned_bytes, 0U);
  const auto driver_line = [](const BoundPlan& bound) {
    const auto ledger = bound.ledger();
    return *std::ranges::find(ledger, Purpose::driver, &LedgerLine::purpose);
  };
  CountingAccelerator with_driver({.memory_bytes = plan.vram_bytes, .driver_bytes = planned_bytes});
  const BoundPlan bound(plan, subject.header, subject.hyper, &with_driver);
  EXPECT_EQ(driver_line(bound),
            (LedgerLine{Device::cuda0, Purpose::driver, planned_bytes, planned_bytes, planned_bytes}));
  EXPECT_EQ(with_driver.memory().free_bytes, plan.arena_bytes(Device::cuda0, Purpose::graphs));

  CountingAccelerator with_more({.memory_bytes = 2 * plan.vram_bytes, .driver_bytes = planned_bytes + 1});
  EXPECT_THROW(BoundPlan(plan, subject.header, subject.hyper, &with_more), OutOfMemory);
  EXPECT_EQ(with_more.memory().free_bytes, 2 * plan.vram_bytes - planned_bytes - 1) << "nothing was taken";
}

TEST(BindAccelerator, APlanForAnEmulatedDeviceCountsNoDriverWhateverRunsIt) {
  std::mt19937 random(34);
  const Subject subject("gemma4_4l.gguf");
  const auto plan = subject.plan(random_workload(random), subject.placement(random));
  constexpr std::size_t kDriverBytes = 5'000'000;
  CountingAccelerator with_driver(
      {.memory_bytes = plan.vram_bytes + kDriverBytes, .driver_bytes = kDriverBytes});
  const BoundPlan bound(plan, subject.header, subject.hyper, &with_driver);
  EXPECT_EQ(bound.vram_use().taken_bytes, planned_on_device(plan));
  for (const auto& line : bound.ledger()) EXPECT_NE(line.purpose, Purpose::driver);
}

TEST(BindAccelerator, EveryCallThatFailsWhileLoadingIsAnErrorThatSaysSo) {
  std::mt19937 random(33);
  const Subject subject("gemma4_4l.gguf");
  const auto plan = subject.plan(random_workload(random), subject.placement(random));
  std::uint64_t failed = 0;
  for (bool works = false; !works;) {
    CountingAccelerator accelerator({.memory_bytes = kDeviceBytes, .failing_call = failed + 1});
    try {
      BoundPlan bound(plan, subject.header, subject.hyper, &accelerator);
      bound.load({});
      works = true;
    } catch (const cuda::DeviceError& error) {
      ASSERT_NE(std::string(error.what()).find("fails, as was asked for"), std::string::npos);
      ++failed;
    }
  }
  EXPECT_GT(failed, 30U);
}

/// A model of 113 MB, nearly all of it FFNs of six layers.
std::filesystem::path write_wide_model(const test_support::TempDir& directory) {
  constexpr std::uint32_t kFfn = 3 << 14;
  auto model = test_support::TinyModel::gemma3();
  const std::string key = "gemma3.feed_forward_length";
  model.set_key(key, test_support::key_u32(key, kFfn));
  for (int layer = 0; layer < 6; ++layer) {
    const auto name = [&](const char* stem) {
      return "blk." + std::to_string(layer) + "." + stem + ".weight";
    };
    model.reshape_tensor(name("ffn_gate"), {32, kFfn});
    model.reshape_tensor(name("ffn_up"), {32, kFfn});
    model.reshape_tensor(name("ffn_down"), {kFfn, 32});
  }
  return directory.write("wide.gguf", model.file_bytes());
}

/// Binds and loads `subject` with `placement` on an emulated device of just the size that is planned; checks
/// that its peak of resident memory, which includes the device's, is what was planned but for what is on its
/// way.  Returns the bytes of the file that stay mapped.
std::uint64_t load_within_plan(const Subject& subject, const std::filesystem::path& file,
                               const planner::Placement& placement, const std::string& what) {
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = 2;
  workload.micro_batch = 16;
  const auto plan = subject.plan(workload, placement);
  CountingAccelerator accelerator(
      {.memory_bytes = planned_on_device(plan) + plan.arena_bytes(Device::emulated0, Purpose::graphs)});
  constexpr std::uint64_t kOnItsWayBytes = std::uint64_t{4} << 20;  // threads' own memory
  const auto mapped_before = test_support::mapped_resident_bytes(file);
  test_support::reset_peak();
  const auto before = test_support::status_bytes("VmHWM");
  BoundPlan bound(plan, subject.header, subject.hyper, &accelerator);
  const auto transfer = std::ranges::find_if(bound.arenas(), [](const Arena& arena) {
    return arena.device() == Device::cpu && arena.purpose() == Purpose::transfer;
  });
  const auto load_buffer = transfer->own_memory().first(planner::load_buffer_bytes(plan, bound.model()));
  std::memset(load_buffer.data(), 0xff, load_buffer.size());
  std::uint64_t reports = 0;
  bound.load([&](std::uint64_t, std::uint64_t) { ++reports; });
  const auto peak = test_support::status_bytes("VmHWM");
  if (kResidentMemoryCounts) {
    EXPECT_LE(peak - before + mapped_before, plan.ram_bytes + plan.vram_bytes + kOnItsWayBytes) << what;
  }
  EXPECT_EQ(std::ranges::count(load_buffer, std::byte{0xff}), 0) << what << ": part of it is never used";
  EXPECT_EQ(accelerator.used_bytes(), planned_on_device(plan)) << what;
  EXPECT_GT(reports, subject.header.tensor_bytes >> 23U)
      << what << ": progress is in steps of some megabytes";
  return test_support::mapped_resident_bytes(file);
}

TEST(BindAccelerator, LoadingNeverTakesMoreThanPlannedAndLetsGoOfWhatLiesElsewhere) {
  const test_support::TempDir directory;
  const auto file = write_wide_model(directory);
  const Subject subject(file);
  const auto layers = subject.hyper.layers.size();
  constexpr std::uint64_t kHeaderBytes = 1 << 16;
  constexpr std::uint64_t kHugePageBytes = 2 << 20;  // what the kernel maps around a page that is read

  auto placement = planner::Placement::all_on(Device::emulated0, layers);
  EXPECT_LE(load_within_plan(subject, file, placement, "all on the device"), kHeaderBytes);
  for (std::size_t i = 0; i < layers; i += 2) placement.ffn[i] = Device::cpu;
  const auto half = load_within_plan(subject, file, placement, "half of it on the CPU");
  const auto ffn_bytes = std::uint64_t{3} * 32 * (3 << 14) * 4;
  EXPECT_GE(half, layers / 2 * ffn_bytes);
  EXPECT_LE(half, layers / 2 * (ffn_bytes + 2 * kHugePageBytes));
}

TEST(BindAccelerator, AFileThatIsCutOffMeanwhileIsAnErrorThatSaysWhere) {
  const test_support::TempDir directory;
  const auto file = write_wide_model(directory);
  const Subject subject(file);
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.micro_batch = 16;
  const auto plan =
      subject.plan(workload, planner::Placement::all_on(Device::emulated0, subject.hyper.layers.size()));
  CountingAccelerator accelerator({.memory_bytes = kDeviceBytes});
  BoundPlan bound(plan, subject.header, subject.hyper, &accelerator);
  std::filesystem::resize_file(file, std::filesystem::file_size(file) / 2);
  try {
    bound.load({}, 3);
    ADD_FAILURE() << "half a model was loaded";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find(file.string() + ": ends before byte "), std::string::npos)
        << error.what();
  }
}

TEST(BindAccelerator, AFloatHeadIsStoredInAnotherTypeOnTheWay) {
  const Subject subject("gemma4_4l.gguf");
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.micro_batch = 16;
  workload.head_type = planner::HeadType::q8_0;
  const auto layers = subject.hyper.layers.size();
  const auto plan_on = [&](Device device) {
    return subject.plan(workload, planner::Placement::all_on(device, layers));
  };
  BoundPlan on_cpu(plan_on(Device::cpu), subject.header, subject.hyper);
  on_cpu.load({});
  CountingAccelerator accelerator({});
  BoundPlan on_device(plan_on(Device::emulated0), subject.header, subject.hyper, &accelerator);
  on_device.load({});

  // On the device the blocks of 34 bytes lie in two planes (backends/cuda/plane_layout.h).
  const auto& expected = on_cpu.head().out;
  const std::uint64_t blocks = std::uint64_t{expected.in} * expected.out / 32;
  auto* const pinned = accelerator.allocate_pinned(blocks * 34);
  accelerator.receive(reinterpret_cast<float*>(pinned), static_cast<const float*>(on_device.head().out.data),
                      blocks * 34);
  const auto* const file_order = static_cast<const std::byte*>(expected.data);
  for (std::uint64_t i = 0; i < blocks; ++i) {
    ASSERT_EQ(std::memcmp(pinned + i * 32, file_order + i * 34 + 2, 32), 0) << i;
    ASSERT_EQ(std::memcmp(pinned + blocks * 32 + i * 2, file_order + i * 34, 2), 0) << i;
  }
}

TEST(BindAccelerator, WeightsThatAreStreamedStayAsInTheFileAndOthersAreRepacked) {
  const auto file = std::filesystem::path(TANDEM_SOURCE_DIR) / "config/embedded/tandem-tiny-q4_0.gguf";
  const Subject subject(file);
  auto placement = planner::Placement::all_on(Device::cpu, subject.hyper.layers.size());
  placement.attention[1] = Device::emulated0;
  placement.ffn[2] = Device::emulated0;
  for (const std::uint32_t stream_rows : {0U, 8U}) {
    planner::Workload workload;
    workload.max_seq_len = 64;
    workload.sequences = 2;
    workload.micro_batch = 16;
    workload.stream_rows = stream_rows;
    const auto plan = subject.plan(workload, placement);
    CountingAccelerator accelerator({.memory_bytes = kDeviceBytes});
    BoundPlan bound(plan, subject.header, subject.hyper, &accelerator, &cpu::plane_repacker());
    bound.load({}, 2);
    const auto expect_in_file = [&](bool in_file, const device::Matrix& matrix, std::uint32_t layer,
                                    const std::string& stem) {
      const auto* tensor =
          subject.header.find_tensor("blk." + std::to_string(layer) + "." + stem + ".weight");
      const auto layout = in_file ? device::WeightLayout::rows : device::WeightLayout::planes;
      EXPECT_EQ(matrix.layout, layout) << stem << ' ' << layer;
      EXPECT_EQ(matrix.data == subject.header.data(*tensor).data(), in_file) << stem << ' ' << layer;
    };
    std::uint64_t repacked_bytes =
        plan.head.bytes - subject.header.find_tensor("output_norm.weight")->size_bytes;
    for (std::uint32_t layer = 0; layer < subject.hyper.layers.size(); ++layer) {
      if (layer != 1) {
        const auto unit = bound.unit({planner::UnitKind::attention, layer}, Device::cpu);
        expect_in_file(false, unit.attention.q, layer, "attn_q");
        for (const auto& matrix : {unit.attention.q, unit.attention.k, unit.attention.v, unit.attention.out})
          repacked_bytes += std::uint64_t{matrix.in} * matrix.out / 32 * 18;
      }
      if (layer == 2) continue;
      const auto ffn = bound.unit({planner::UnitKind::ffn, layer}, Device::cpu).ffn;
      expect_in_file(stream_rows > 0, ffn.gate, layer, "ffn_gate");
      expect_in_file(stream_rows > 0, ffn.up, layer, "ffn_up");
      expect_in_file(stream_rows > 0, ffn.down, layer, "ffn_down");
      if (stream_rows == 0) repacked_bytes += 3 * std::uint64_t{ffn.gate.in} * ffn.gate.out / 32 * 18;
    }
    EXPECT_EQ(bound.head().out.layout, device::WeightLayout::planes);
    EXPECT_EQ(bound.repacked_bytes(), repacked_bytes);
    for (const auto& line : bound.ledger()) {
      if (line.device == Device::cpu) {
        EXPECT_EQ(line.used_bytes, line.planned_bytes);
      }
    }
  }
}

}  // namespace
}  // namespace tandem::memory
