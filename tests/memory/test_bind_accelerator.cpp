// Plans that use an accelerator, made true on the emulated device, whose own count of bytes is the witness.

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "memory/bind.h"
#include "memory/errors.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/support/fixture.h"

namespace tandem::memory {
namespace {

using planner::Device;
using planner::Purpose;

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
  void upload_rows(std::byte* to, const device::Matrix& part, std::uint32_t first_row,
                   std::uint32_t rows) override {
    inner_->upload_rows(to, part, first_row, rows);
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
  explicit Subject(const std::string& name)
      : header(model::read_header(test_support::reference_path(name))),
        hyper(model::read_hyperparameters(header)) {}

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
  workload.micro_batch = workload.sequences + static_cast<std::uint32_t>(random() % 40);
  workload.kv_type = random() % 2 == 0 ? planner::KvType::f32 : planner::KvType::f16;
  workload.head_type = random() % 4 == 0 ? planner::HeadType::q8_0 : planner::HeadType::keep;
  return workload;
}

/// Bytes of `plan` on the device, less what nobody allocates.
std::uint64_t planned_on_device(const planner::Plan& plan) {
  return plan.vram_bytes - plan.arena_bytes(Device::emulated0, Purpose::reserve);
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
      EXPECT_EQ(ledger[i].used_bytes, expected) << to_string(ledger[i].purpose);
    }
  }
}

TEST(BindAccelerator, LessFreeMemoryThanPlannedIsRefusedBeforeAnythingIsTaken) {
  std::mt19937 random(32);
  const Subject subject("gemma4_4l.gguf");
  const auto plan = subject.plan(random_workload(random), subject.placement(random));
  const auto needed_bytes = planned_on_device(plan);
  CountingAccelerator just_enough({.memory_bytes = needed_bytes});
  EXPECT_NO_THROW(BoundPlan(plan, subject.header, subject.hyper, &just_enough));
  CountingAccelerator too_small({.memory_bytes = needed_bytes - 1});
  EXPECT_THROW(BoundPlan(plan, subject.header, subject.hyper, &too_small), OutOfMemory);
  EXPECT_EQ(too_small.used_bytes(), 0U);
  EXPECT_EQ(too_small.pinned_bytes(), 0U);
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

}  // namespace
}  // namespace tandem::memory
