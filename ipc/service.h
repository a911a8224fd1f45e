#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ipc/chat.h"
#include "ipc/event_stream.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

/// How the tokens of an answer are chosen and read beyond its sampling values: a grammar, a chat's markup.
/// Made by Service::prepare_chat and prepare_format, and understood by Service::submit only.  Immutable:
/// several requests may share it.
class AnswerRules {
 public:
  AnswerRules() = default;
  virtual ~AnswerRules() = default;
  AnswerRules(const AnswerRules&) = delete;
  AnswerRules& operator=(const AnswerRules&) = delete;
};

/// A conversation as the model reads it.
struct PreparedChat {
  std::vector<std::int32_t> prompt;
  std::shared_ptr<const AnswerRules> rules;
};

/// Added to a token's logit, -100 to 100.
struct LogitBias {
  std::int32_t token = 0;
  float bias = 0.0f;
};

/// One sequence to be generated.  Values are already in their declared ranges; an absent one means the
/// model's default.
struct GenerationRequest {
  std::string id;     ///< unique, what DELETE /v1/requests/{id} names; completions of several prompts append
                      ///< "-0", "-1" ...
  std::string owner;  ///< Sender::owner
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
  std::vector<LogitBias> logit_bias;         ///< no token twice
  std::shared_ptr<const AnswerRules> rules;  ///< null: plain text, nothing held to a grammar
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
  bool noise = false;     ///< random weights: answers mean nothing
  std::string chat;       ///< the turn markers its vocabulary has: "gemma3", "gemma4", empty if none
  bool tools = false;     ///< the chat format has markup for calls
  bool thinking = false;  ///< the chat format has a channel for thoughts
  std::vector<std::string> warnings;  ///< for whoever lists models
  std::string family;                 ///< "gemma3", "gemma4"
  std::uint64_t parameters = 0;
  std::uint64_t tensor_bytes = 0;
  std::string main_type;    ///< the element type with the most bytes: "Q4_0"
  std::string fingerprint;  ///< SHA-256 of the file's header in hex: names the model, not its weights
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
/// tokenize, detokenize, prepare_chat and prepare_format, whose cost grows with the text.  While the model
/// loads, what needs it throws RequestError 503; health does not.
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
  /// Ids of a whole prompt, which may name control tokens.  Throws RequestError 400 for one that must be
  /// longer than the context, before time is spent on it.
  virtual std::vector<std::int32_t> prepare_prompt(std::string_view text) = 0;
  /// Text of `ids`; throws RequestError for ids out of range.
  virtual std::string detokenize(const std::vector<std::int32_t>& ids) = 0;

  /// The prompt that asks for a conversation's next message, and how the answer is to be read.  Message text
  /// never forms control tokens.  Throws RequestError 400 where the model cannot chat, its format cannot
  /// express the conversation (two user messages in a row for Gemma 3), has no tools or thinking but the
  /// request has, the answer's format is not understood, or as prepare_prompt does.
  virtual PreparedChat prepare_chat(const ChatRequest& chat) = 0;
  /// What holds a plain completion to `format`; null where that is free.  Throws RequestError 400.
  virtual std::shared_ptr<const AnswerRules> prepare_format(const AnswerFormat& format) = 0;

  virtual ModelCard model() = 0;
  virtual Health health() = 0;
  /// The plan and the ledger beside it, as JSON text.
  virtual std::string plan_json() = 0;
  /// Prometheus text, every name with the prefix tandem_.
  virtual std::string metrics_text() = 0;
  virtual std::vector<RequestInfo> requests() = 0;
  /// What GET /v1/status says beyond health, model and requests: an object.
  virtual OrderedJson status() = 0;
};

}  // namespace tandem::ipc
