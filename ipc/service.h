#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipc/event_stream.h"

namespace tandem::ipc {

/// One sequence to be generated.  Values are already in their declared ranges; an absent one means the
/// model's default.
struct GenerationRequest {
  std::string id;     ///< unique, what DELETE /v1/requests/{id} names; completions of several prompts append
                      ///< "-0", "-1" ...
  std::string owner;  ///< peer uid, plus the client's label if it sent one
  std::vector<std::int32_t> prompt;
  std::uint32_t max_tokens = 16;
  std::optional<float> temperature;
  std::optional<std::uint32_t> top_k;
  std::optional<float> top_p;
  std::optional<float> min_p;
  std::optional<float> repetition_penalty;
  std::optional<float> presence_penalty;
  std::optional<float> frequency_penalty;
  std::optional<std::uint64_t> seed;
  std::vector<std::string> stop;
  std::optional<std::uint32_t> logprobs;  ///< alternatives a token, 0 to 20
  bool echo = false;  ///< the prompt's text (and scores, if asked for) comes out before the answer's
};

/// A request that cannot be taken; becomes an error object of the client's dialect.
class RequestError : public std::runtime_error {
 public:
  /// `status` is HTTP's, `type` and `code` are OpenAI's words (invalid_request_error;
  /// context_length_exceeded), `param` the field at fault.
  RequestError(unsigned status, std::string type, const std::string& message, std::string param = {},
               std::string code = {})
      : std::runtime_error(message),
        status_(status),
        type_(std::move(type)),
        param_(std::move(param)),
        code_(std::move(code)) {}

  [[nodiscard]] unsigned status() const noexcept { return status_; }
  [[nodiscard]] const std::string& type() const noexcept { return type_; }
  [[nodiscard]] const std::string& param() const noexcept { return param_; }
  [[nodiscard]] const std::string& code() const noexcept { return code_; }

 private:
  unsigned status_;
  std::string type_;
  std::string param_;
  std::string code_;
};

/// One line of GET /v1/requests.
struct RequestInfo {
  std::string id;
  std::string owner;
  std::string state;  ///< queued, prompt, decode, paused
  std::uint64_t prompt_tok = 0;
  std::uint64_t prompt_done_tok = 0;
  std::uint64_t completion_tok = 0;
  std::uint64_t max_tok = 0;
  std::uint64_t age_us = 0;
};

/// The loaded model, as clients see it.
struct ModelCard {
  std::string id;
  std::uint64_t created_unix_s = 0;
  std::uint64_t context_tok = 0;  ///< a sequence can hold
  std::uint32_t vocab = 0;
  bool noise = false;  ///< random weights: answers mean nothing
  std::string chat;    ///< the turn markers its vocabulary has: "gemma3", "gemma4", empty if none
};

enum class ServiceState { loading, ok, draining };

/// What GET /health says.
struct Health {
  ServiceState state = ServiceState::ok;
  double load_progress = 1.0;  ///< 0 .. 1
  std::uint64_t uptime_s = 0;
  std::string version;
};

/// What the wire asks of the daemon.  Every member may be called from any thread and returns quickly, except
/// tokenize and detokenize, whose cost grows with the text.  While the model loads, what needs it throws
/// RequestError 503; health does not.
class Service {
 public:
  virtual ~Service() = default;

  /// Queues a request; events go to `stream`.  Throws RequestError (full queue 503, prompt longer than the
  /// context 400).
  virtual void submit(GenerationRequest request, std::shared_ptr<EventStream> stream) = 0;
  /// Ends a request wherever it is; its stream still gets Finished{cancelled}.  False if there is none with
  /// this id.
  virtual bool cancel(std::string_view id) = 0;

  /// Ids of `text`.  With `add_special`, BOS by the model's rule; with `parse_special`, text may name control
  /// tokens.
  virtual std::vector<std::int32_t> tokenize(std::string_view text, bool add_special, bool parse_special) = 0;
  /// Text of `ids`; throws RequestError for ids out of range.
  virtual std::string detokenize(const std::vector<std::int32_t>& ids) = 0;

  virtual ModelCard model() = 0;
  virtual Health health() = 0;
  /// The plan and the ledger beside it, as JSON text.
  virtual std::string plan_json() = 0;
  /// Prometheus text, every name with the prefix tandem_.
  virtual std::string metrics_text() = 0;
  virtual std::vector<RequestInfo> requests() = 0;
};

}  // namespace tandem::ipc
