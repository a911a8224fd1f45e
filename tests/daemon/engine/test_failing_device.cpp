// The emulated GPU fails each call that it is asked for, one after another: while a model is loaded, that is
// an error; while it is served, the requests of that step end with one, and the daemon serves on.

#include <cstdint>
#include <memory>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "tests/daemon/engine/requests.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using model::TokenId;
using planner::Device;
using planner::Placement;
using namespace std::chrono_literals;
using test_support::reference_path;

/// A plan, and the prompts of requests that are served by it.
struct FailingWork {
  const char* model;
  planner::Workload workload;
  Placement placement;
  std::vector<std::size_t> prompts_tok;
};

planner::Workload failing_workload(std::uint32_t micro_batch) {
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = 2;
  workload.micro_batch = micro_batch;
  workload.kv_type = planner::KvType::f32;
  return workload;
}

/// Two attention halves on the device, one of either kind, all else on the CPU: rows cross four times.
FailingWork crossing_work() {
  auto placement = Placement::all_on(Device::cpu, 4);
  placement.attention[0] = placement.attention[3] = Device::emulated0;
  return {"gemma4_4l.gguf", failing_workload(6), placement, {7, 1, 3}};
}

/// Attention of the second layer on the device, all else on the CPU; FFN weights are streamed for prompts.
FailingWork streaming_work() {
  auto placement = Placement::all_on(Device::cpu, 4);
  placement.attention[1] = Device::emulated0;
  auto workload = failing_workload(9);
  workload.stream_rows = 5;
  return {"gemma4_4l.gguf", workload, placement, {5, 1, 2}};
}

/// Holds the engine's worker at the end of its request until it is opened: what was submitted meanwhile
/// begins together then.
class Gate final : public Sink {
 public:
  void on_progress(std::uint64_t, std::uint64_t) override {}
  void on_text(const TextDelta&) override {}
  void on_finish(Finished) noexcept override {
    reached_.release();
    opened_.acquire();
  }
  [[nodiscard]] bool has_room() const override { return true; }

  void wait_reached() { reached_.acquire(); }
  void open() { opened_.release(); }

 private:
  std::binary_semaphore reached_{0};
  std::binary_semaphore opened_{0};
};

/// What became of some requests, and how many calls of the device that took.
struct Outcome {
  std::vector<std::vector<TokenId>> answers;
  std::vector<std::string> errors;  ///< empty where a request ended well
  std::uint64_t calls = 0;
};

/// A daemon's engine and its failing device.
class FailingDaemon {
 public:
  explicit FailingDaemon(const FailingWork& work, std::uint64_t failing_call_of_loading = 0)
      : work_(work),
        served_(model::read_header(reference_path(work.model)), work.workload, work.placement,
                emulated(failing_call_of_loading)),
        ledger_(served_.bound().ledger()) {}

  /// Serves the work while the device fails its `call`th call, counted from 1; 0: none.
  Outcome serve(std::uint64_t call) {
    const auto gate = std::make_shared<Gate>();
    served_.engine().submit(greedy({5}, 1), gate);
    gate->wait_reached();
    std::vector<std::shared_ptr<RecordingSink>> sinks;
    for (const auto n : work_.prompts_tok)
      sinks.push_back(served_.submit(greedy(std::vector<TokenId>(n, 7), 2)));
    const auto before = calls();
    cuda::emulation::fail_call(*device_, call);
    gate->open();
    Outcome outcome;
    for (const auto& sink : sinks) {
      const auto finished = sink->wait_finished();
      const bool failed = finished.reason == FinishReason::error;
      EXPECT_EQ(finished.reason, failed ? FinishReason::error : FinishReason::length);
      outcome.errors.push_back(finished.error);
      outcome.answers.push_back(sink->tokens());
    }
    outcome.calls = calls() - before;
    return outcome;
  }

  /// No request is left, nor anything that one held.
  void expect_idle() {
    ASSERT_TRUE(served_.engine().wait_idle(60s));
    const auto stats = served_.engine().stats();
    EXPECT_EQ(stats.running, 0U);
    EXPECT_EQ(stats.free_pages, served_.bound().plan().kv_pages.pages);
    const auto ledger = served_.bound().ledger();
    EXPECT_EQ(ledger, ledger_);
    for (const auto& line : ledger) EXPECT_TRUE(line.balances());
  }

  [[nodiscard]] std::uint64_t calls() const { return cuda::emulation::counts(*device_).calls; }

 private:
  std::unique_ptr<device::Accelerator> emulated(std::uint64_t failing_call) {
    auto device = cuda::emulation::make_device({.seed = 1, .failing_call = failing_call});
    device_ = &device.state();
    return cuda::make_accelerator(std::move(device));
  }

  const FailingWork work_;
  cuda::Device::State* device_ = nullptr;
  Served served_;
  const std::vector<memory::LedgerLine> ledger_;
};

class FailingDevice : public testing::TestWithParam<FailingWork (*)()> {};

TEST_P(FailingDevice, IsAnErrorAtEveryCallOfLoading) {
  const auto work = GetParam()();
  const auto calls = FailingDaemon(work).calls();
  EXPECT_GT(calls, 20U);
  for (std::uint64_t call = 1; call <= calls; ++call) {
    EXPECT_THROW(FailingDaemon(work, call), cuda::DeviceError) << call;
  }
}

TEST_P(FailingDevice, EndsTheRequestsOfItsStepAtEveryCallAndTheEngineServesOn) {
  FailingDaemon daemon(GetParam()());
  const auto expected = daemon.serve(0);
  ASSERT_THAT(expected.errors, testing::Each(std::string()));
  EXPECT_GT(expected.calls, 50U);
  for (std::uint64_t call = 1; call <= expected.calls; ++call) {
    const auto outcome = daemon.serve(call);
    std::size_t failed = 0;
    for (std::size_t i = 0; i < outcome.errors.size(); ++i) {
      if (outcome.errors[i].empty()) {
        ASSERT_EQ(outcome.answers[i], expected.answers[i]) << call;
        continue;
      }
      ASSERT_THAT(outcome.errors[i], testing::HasSubstr("fails, as was asked for")) << call;
      ++failed;
    }
    ASSERT_GE(failed, 1U) << call;
    ASSERT_LE(failed, 2U) << call << ": a step has two sequences at most";
    daemon.expect_idle();
  }
  EXPECT_EQ(daemon.serve(0).answers, expected.answers);
}

INSTANTIATE_TEST_SUITE_P(Plans, FailingDevice, testing::Values(&crossing_work, &streaming_work),
                         [](const auto& of) { return of.index == 0 ? "crossing" : "streaming"; });

}  // namespace
}  // namespace tandem::engine
