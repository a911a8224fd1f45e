#include "ipc/status_routes.h"

#include <chrono>
#include <string>
#include <utility>

#include "ipc/native_routes.h"
#include "ipc/status_page.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kPeriod{1000};

OrderedJson status_json(Service& service) {
  const Health health = service.health();
  const ModelCard model = service.model();
  OrderedJson status = {{"schema", "tandem.status/1"}};
  status.update(health_json(health));
  status["model"] = {{"id", model.id}, {"max_model_len", model.context_tok}, {"noise", model.noise}};
  status.update(service.status());
  status["requests"] = requests_json(service.requests());
  return status;
}

/// A picture a second, until the client leaves or the daemon ends.
class StatusStream final : public Answer {
 public:
  StatusStream(RouteContext& context, Wake wake) : context_(context), wake_(std::move(wake)) {}

  Output next() override {
    if (!std::exchange(head_sent_, true)) return head();
    const auto now = Clock::now();
    if (now < due_) {
      alarm_ = context_.wake_after(std::chrono::ceil<std::chrono::milliseconds>(due_ - now), wake_);
      return NotYet{};
    }
    due_ = now + kPeriod;
    const bool last = context_.service.health().state == ServiceState::draining;
    return StreamPiece{sse_event(status_json(context_.service)), last};
  }

 private:
  static StreamHead head() {
    HttpReply head;
    head.content_type = kSseType;
    head.headers = {{"Cache-Control", "no-cache"}, {"X-Accel-Buffering", "no"}};
    return {std::move(head)};
  }

  RouteContext& context_;
  const Wake wake_;
  Alarm alarm_;
  bool head_sent_ = false;
  Clock::time_point due_{};
};

}  // namespace

std::vector<Route> status_routes(RouteContext& context) {
  const auto get = [](const char* path, auto answer) {
    return Route{
        "GET", path,
        [answer = std::move(answer)](const HttpRequest&, const std::string&) -> Outcome { return answer(); }};
  };
  return {get("/", [reply = status_page()] { return reply; }),
          get("/v1/status", [&context] { return json_reply(status_json(context.service)); }),
          get("/v1/status/stream", [&context] {
            return StartAnswer(
                [&context](Wake wake) { return std::make_unique<StatusStream>(context, std::move(wake)); });
          })};
}

}  // namespace tandem::ipc
