#include "ipc/ollama_reply.h"

#include <array>
#include <cstdio>
#include <ctime>

#include "ipc/ids.h"
#include "ipc/openai_completion_reply.h"

namespace tandem::ipc {

namespace {

constexpr std::uint64_t kNsPerUs = 1000;

OrderedJson calls_json(const std::vector<ToolCall>& calls, std::size_t first) {
  OrderedJson list = OrderedJson::array();
  for (const ToolCall& call : calls) {
    list.push_back({{"id", new_id("call_")},
                    {"function",
                     {{"index", first + list.size()},
                      {"name", call.name},
                      {"arguments", OrderedJson::parse(call.arguments)}}}});
  }
  return list;
}

OrderedJson token_json(const TokenLogprob& token) {
  OrderedJson bytes = OrderedJson::array();
  for (const char byte : token.text) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", token_name(token, TokenNames::text)}, {"logprob", token.logprob}, {"bytes", bytes}};
}

OrderedJson logprobs_json(const std::vector<ScoredToken>& scores) {
  OrderedJson list = OrderedJson::array();
  for (const ScoredToken& score : scores) {
    OrderedJson token = token_json(score.chosen);
    OrderedJson top = OrderedJson::array();
    for (const TokenLogprob& other : score.top) top.push_back(token_json(other));
    if (!top.empty()) token["top_logprobs"] = std::move(top);
    list.push_back(std::move(token));
  }
  return list;
}

}  // namespace

std::string rfc3339(std::chrono::system_clock::time_point time) {
  const auto since_epoch = time.time_since_epoch();
  const auto seconds = std::chrono::floor<std::chrono::seconds>(since_epoch);
  const auto microseconds = std::chrono::floor<std::chrono::microseconds>(since_epoch - seconds);
  const auto unix_s = static_cast<std::time_t>(seconds.count());
  std::tm utc{};
  gmtime_r(&unix_s, &utc);
  std::array<char, 32> date{};
  std::strftime(date.data(), date.size(), "%Y-%m-%dT%H:%M:%S", &utc);
  std::array<char, 16> fraction{};
  std::snprintf(fraction.data(), fraction.size(), ".%06dZ", static_cast<int>(microseconds.count()));
  return std::string(date.data()) + fraction.data();
}

OrderedJson ollama_head(const std::string& model, std::chrono::system_clock::time_point time) {
  return {{"model", model}, {"created_at", rfc3339(time)}};
}

void add_ollama_text(OrderedJson& object, OllamaKind kind, const TextDelta& said, bool scored,
                     std::size_t first_call) {
  if (kind == OllamaKind::chat) {
    OrderedJson message = {{"role", "assistant"}, {"content", said.text}};
    if (!said.reasoning.empty()) message["thinking"] = said.reasoning;
    if (!said.calls.empty()) message["tool_calls"] = calls_json(said.calls, first_call);
    object["message"] = std::move(message);
  } else {
    object["response"] = said.text;
    if (!said.reasoning.empty()) object["thinking"] = said.reasoning;
  }
  if (scored && !said.scores.empty()) object["logprobs"] = logprobs_json(said.scores);
}

void add_ollama_more(OrderedJson& object) {
  object["done"] = false;
}

void add_ollama_end(OrderedJson& object, const Finished& finished) {
  const Usage& usage = finished.usage;
  object["done"] = true;
  object["done_reason"] = finished.reason == FinishReason::length ? "length" : "stop";
  object["total_duration"] = (usage.queue_us + usage.prompt_us + usage.decode_us) * kNsPerUs;
  object["load_duration"] = 0;  // no request waits for its model: it is loaded before any is taken
  object["prompt_eval_count"] = usage.prompt_tok;
  object["prompt_eval_duration"] = usage.prompt_us * kNsPerUs;
  object["eval_count"] = usage.completion_tok;
  object["eval_duration"] = usage.decode_us * kNsPerUs;
}

}  // namespace tandem::ipc
