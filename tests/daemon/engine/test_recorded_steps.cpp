// Decode steps that a device records ahead, where its driver takes as much for them as the plan has, and
// where it takes more.

#include <memory>
#include <string>
#include <vector>

#include <gtest/gtest.h>
#include <spdlog/sinks/ringbuffer_sink.h>
#include <spdlog/spdlog.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "planner/activations.h"
#include "tests/daemon/engine/requests.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

/// What is logged while it lives.
class Log {
 public:
  Log() { spdlog::set_default_logger(std::make_shared<spdlog::logger>("test", sink_)); }
  ~Log() { spdlog::set_default_logger(before_); }
  Log(const Log&) = delete;
  Log& operator=(const Log&) = delete;

  [[nodiscard]] std::string text() const {
    std::string all;
    for (const auto& line : sink_->last_formatted()) all += line;
    return all;
  }

 private:
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
  std::shared_ptr<spdlog::sinks::ringbuffer_sink_mt> sink_ =
      std::make_shared<spdlog::sinks::ringbuffer_sink_mt>(100);
};

/// All of a model on a device whose driver takes `operation_bytes` for a recorded operation.
Served served_on_device(std::size_t operation_bytes) {
  auto header = model::read_header(test_support::reference_path("gemma4_4l.gguf"));
  planner::Workload workload;
  workload.max_seq_len = 64;
  workload.sequences = 4;
  workload.micro_batch = 8;
  const auto layers = model::read_hyperparameters(header).layers.size();
  return {std::move(header), workload, planner::Placement::all_on(planner::Device::emulated0, layers),
          cuda::make_accelerator(
              cuda::emulation::make_device({.seed = 5, .graph_operation_bytes = operation_bytes}))};
}

TEST(RecordedSteps, AreAllThereWhereTheyTakeWhatIsPlanned) {
  const Log log;
  const auto served = served_on_device(planner::kGraphOperationBytes);
  EXPECT_EQ(served.bound().accelerator()->recorded_steps().count,
            planner::recorded_steps(served.bound().plan().workload));
  EXPECT_EQ(log.text().find("recorded"), std::string::npos);
}

TEST(RecordedSteps, ThatDoNotFitAreSaidAndOtherwiseDone) {
  const Log log;
  auto served = served_on_device(planner::kGraphOperationBytes);
  auto fewer = served_on_device(planner::kGraphOperationBytes * 2);
  const auto wanted = planner::recorded_steps(fewer.bound().plan().workload);
  const auto recorded = fewer.bound().accelerator()->recorded_steps().count;
  EXPECT_GT(recorded, 0U);
  EXPECT_LT(recorded, wanted);
  EXPECT_LE(fewer.bound().accelerator()->graph_bytes(),
            fewer.bound().plan().arena_bytes(planner::Device::emulated0, planner::Purpose::graphs));
  EXPECT_NE(log.text().find("GPU: " + std::to_string(recorded) + " of " + std::to_string(wanted) + " shapes"),
            std::string::npos)
      << log.text();
  const auto answer = [](Served& from) {
    const auto sink = from.submit(greedy({5, 6, 7}, 12));
    EXPECT_EQ(sink->wait_finished().error, "");
    return sink->tokens();
  };
  EXPECT_EQ(answer(fewer), answer(served));
}

}  // namespace
}  // namespace tandem::engine
