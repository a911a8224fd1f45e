#pragma once

#include <memory>
#include <string>

#include "ipc/server.h"
#include "tests/ipc/fake_service.h"
#include "tests/ipc/raw_http.h"
#include "tests/ipc/temporary_directory.h"

namespace tandem::ipc::testing {

/// A server with a fake service on a private socket.
class Harness {
 public:
  explicit Harness(const Limits& limits = {}, const FakeOptions& options = {}) : service(options) {
    ServerOptions server_options;
    server_options.socket.path = directory.file("s");
    server_options.limits = limits;
    server_options.access_log = [this](const AccessRecord& record) {
      const std::lock_guard lock(log_mutex_);
      log_.push_back(record);
    };
    server = std::make_unique<Server>(server_options, service);
  }

  [[nodiscard]] std::string path() const { return directory.file("s"); }

  RawReply get(const std::string& target) { return once(path(), "GET", target); }
  RawReply post(const std::string& target, const std::string& body) {
    return once(path(), "POST", target, body);
  }
  RawReply complete(const std::string& body) { return post("/v1/completions", body); }

  [[nodiscard]] std::vector<AccessRecord> log() const {
    const std::lock_guard lock(log_mutex_);
    return log_;
  }
  /// True once the service has nothing left to do.
  [[nodiscard]] bool becomes_idle() const {
    return service.wait_until([this] { return service.unfinished() == 0; });
  }

  TemporaryDirectory directory;
  FakeService service;

 private:
  mutable std::mutex log_mutex_;
  std::vector<AccessRecord> log_;

 public:
  std::unique_ptr<Server> server;  ///< last: it uses all of the above
};

/// "usage" of OpenAI's answers that thought nothing.
inline Json usage_json(int prompt_tok, int completion_tok) {
  return {{"prompt_tokens", prompt_tok},
          {"completion_tokens", completion_tok},
          {"total_tokens", prompt_tok + completion_tok},
          {"prompt_tokens_details", {{"cached_tokens", 0}}},
          {"completion_tokens_details", {{"reasoning_tokens", 0}}}};
}

}  // namespace tandem::ipc::testing
