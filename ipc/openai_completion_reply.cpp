#include "ipc/openai_completion_reply.h"

#include <algorithm>
#include <utility>

namespace tandem::ipc {

namespace {

/// What is not UTF-8 is dropped by one of the two and replaced by the other.
bool is_utf8(const std::string& text) {
  using Handler = OrderedJson::error_handler_t;
  const OrderedJson json(text);
  return json.dump(-1, ' ', false, Handler::ignore) == json.dump(-1, ' ', false, Handler::replace);
}

/// OpenAI writes tokens that are part of a character as "bytes:\xe7\x8b".
std::string escaped_bytes(const std::string& text) {
  constexpr const char* kDigits = "0123456789abcdef";
  std::string escaped = "bytes:";
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    escaped.append("\\x").append(1, kDigits[byte >> 4]).append(1, kDigits[byte & 15]);
  }
  return escaped;
}

/// The alternatives and, if it is not one of them, the chosen token.  Of tokens with the same text the more
/// probable one is kept.
OrderedJson top_logprobs(const ScoredToken& score, TokenNames names) {
  if (!score.has_logprob) return nullptr;
  OrderedJson top = OrderedJson::object();
  for (const TokenLogprob& token : score.top) top.emplace(token_name(token, names), token.logprob);
  top.emplace(token_name(score.chosen, names), score.chosen.logprob);
  return top;
}

}  // namespace

std::string token_name(const TokenLogprob& token, TokenNames names) {
  if (names == TokenNames::ids) return "token_id:" + std::to_string(token.token);
  return is_utf8(token.text) ? token.text : escaped_bytes(token.text);
}

OrderedJson timings(const Usage& usage) {
  OrderedJson times = {
      {"queue_us", usage.queue_us}, {"prompt_us", usage.prompt_us}, {"decode_us", usage.decode_us}};
  if (usage.decode_gb_per_s > 0.0) times["decode_gb_per_s"] = usage.decode_gb_per_s;
  return times;
}

std::size_t count_characters(std::string_view text) noexcept {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

void append_logprobs(OrderedJson& logprobs, std::span<const ScoredToken> scores, TokenNames names,
                     std::size_t first_character) {
  if (logprobs.is_null()) {
    for (const char* member : {"tokens", "token_logprobs", "top_logprobs", "text_offset"}) {
      logprobs[member] = OrderedJson::array();
    }
  }
  std::size_t offset = first_character;
  for (const ScoredToken& score : scores) {
    logprobs["tokens"].push_back(token_name(score.chosen, names));
    logprobs["token_logprobs"].push_back(score.has_logprob ? OrderedJson(score.chosen.logprob)
                                                           : OrderedJson(nullptr));
    logprobs["top_logprobs"].push_back(top_logprobs(score, names));
    logprobs["text_offset"].push_back(offset);
    if (score.in_text) offset += count_characters(score.chosen.text);
  }
}

OrderedJson completion_choice(std::size_t index, const std::string& text, OrderedJson logprobs,
                              const Finished* finished) {
  OrderedJson choice = {{"text", text}, {"index", index}, {"logprobs", std::move(logprobs)}};
  choice["finish_reason"] = nullptr;
  if (finished == nullptr) return choice;
  choice["finish_reason"] = finished->reason == FinishReason::length ? "length" : "stop";
  choice["timings"] = timings(finished->usage);
  return choice;
}

OrderedJson completion_object(const CompletionHead& head, OrderedJson choices) {
  return {{"id", head.id},
          {"object", "text_completion"},
          {"created", head.created_unix_s},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

OrderedJson openai_usage(const Usage& usage) {
  return {{"prompt_tokens", usage.prompt_tok},
          {"completion_tokens", usage.completion_tok},
          {"total_tokens", usage.prompt_tok + usage.completion_tok},
          {"prompt_tokens_details", {{"cached_tokens", 0}}},  // no prompt is reused
          {"completion_tokens_details", {{"reasoning_tokens", usage.reasoning_tok}}}};
}

}  // namespace tandem::ipc
