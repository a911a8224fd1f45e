// What clients see of a device that fails while it serves: an error object for the request of the step that
// failed, the right answer for every other one.

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "daemon/model_card.h"
#include "daemon/service.h"
#include "ipc/server.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/ipc/raw_http.h"
#include "tests/ipc/temporary_directory.h"
#include "tests/support/fixture.h"

namespace tandem::daemon {
namespace {

using ipc::Json;
using ipc::testing::RawReply;
using planner::Device;

/// A daemon's service behind its socket: a model of which two attention halves are on the emulated device.
class FailingService {
 public:
  FailingService()
      : served_(model::read_header(path()), workload(), placement(), emulated()),
        service_(served_.tokenizer(), loaded()) {
    service_.attach(
        served_.engine(), [this] { return served_.executor().ledger(); }, std::nullopt);
    ipc::ServerOptions options;
    options.socket.path = socket();
    server_ = std::make_unique<ipc::Server>(options, service_);
  }

  RawReply ask(bool streams) {
    const Json body{
        {"prompt", {7, 8, 9, 10, 11, 12, 13}}, {"max_tokens", 2}, {"temperature", 0}, {"stream", streams}};
    return ipc::testing::once(socket(), "POST", "/v1/completions", body.dump());
  }
  RawReply get(const std::string& target) { return ipc::testing::once(socket(), "GET", target); }

  /// Its `call`th from now on.
  void fail_call(std::uint64_t call) { cuda::emulation::fail_call(*device_, call); }
  [[nodiscard]] std::uint64_t calls() const { return cuda::emulation::counts(*device_).calls; }

 private:
  static std::filesystem::path path() { return test_support::reference_path("gemma4_4l.gguf"); }
  [[nodiscard]] std::string socket() const { return directory_.file("s"); }

  static planner::Workload workload() {
    planner::Workload workload;
    workload.max_seq_len = 64;
    workload.sequences = 2;
    workload.micro_batch = 6;
    return workload;
  }
  static planner::Placement placement() {
    auto placement = planner::Placement::all_on(Device::cpu, 4);
    placement.attention[0] = placement.attention[3] = Device::emulated0;
    return placement;
  }
  std::unique_ptr<device::Accelerator> emulated() {
    auto device = cuda::emulation::make_device({.seed = 1});
    device_ = &device.state();
    return cuda::make_accelerator(std::move(device));
  }
  [[nodiscard]] Loaded loaded() const {
    const auto& plan = served_.bound().plan();
    const auto header = model::read_header(path());
    return {model_card(header, plan, served_.bound().hyper(), std::nullopt), std::nullopt, plan, {}};
  }

  ipc::testing::TemporaryDirectory directory_;
  cuda::Device::State* device_ = nullptr;
  engine::Served served_;
  DaemonService service_;
  std::unique_ptr<ipc::Server> server_;  ///< last: it uses all of the above
};

/// The error object of an answer, or of the last event of a stream that had begun.
Json error_of(const RawReply& reply, bool streams) {
  if (!streams || reply.status != 200) {
    EXPECT_EQ(reply.status, 500);
    return reply.json().at("error");
  }
  const auto events = ipc::testing::sse_events(reply);
  return events.empty() ? Json() : events.back().value("error", Json());
}

Json text_of(const RawReply& reply) {
  return reply.json().at("choices").at(0).at("text");
}

TEST(FailingDevice, IsAnErrorObjectForItsRequestAndNoHarmToTheNext) {
  FailingService daemon;
  const auto expected = text_of(daemon.ask(false));
  const auto before = daemon.calls();
  ASSERT_EQ(text_of(daemon.ask(false)), expected);
  const auto calls = daemon.calls() - before;
  ASSERT_GT(calls, 30U);
  for (std::uint64_t call = 1; call <= calls; ++call) {
    const bool streams = call % 2 == 0;
    daemon.fail_call(call);
    const auto error = error_of(daemon.ask(streams), streams);
    ASSERT_TRUE(error.is_object()) << call;
    EXPECT_THAT(error.at("message").get<std::string>(), testing::HasSubstr("fails, as was asked for"))
        << call;
    EXPECT_EQ(error.at("type"), "server_error") << call;
    const auto next = daemon.ask(false);
    ASSERT_EQ(next.status, 200) << call;
    ASSERT_EQ(text_of(next), expected) << call;
  }
  EXPECT_EQ(daemon.get("/health").json().at("status"), "ok");
  EXPECT_EQ(daemon.get("/v1/requests").json().at("data"), Json::array());
  for (const auto& line : daemon.get("/v1/plan").json().at("ledger")) {
    EXPECT_EQ(line.at("allocated_bytes"), line.at("planned_bytes")) << line.dump();
  }
  EXPECT_THAT(
      daemon.get("/metrics").body,
      testing::HasSubstr("tandem_requests_finished_total{reason=\"error\"} " + std::to_string(calls)));
}

}  // namespace
}  // namespace tandem::daemon
