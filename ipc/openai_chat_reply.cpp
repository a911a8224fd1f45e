#include "ipc/openai_chat_reply.h"

#include <utility>

#include "ipc/ids.h"

namespace tandem::ipc {

namespace {

const char* finish_reason(FinishReason reason) {
  switch (reason) {
    case FinishReason::length:
      return "length";
    case FinishReason::tool_calls:
      return "tool_calls";
    case FinishReason::stop:
    case FinishReason::cancelled:
    case FinishReason::error:
      break;
  }
  return "stop";
}

OrderedJson scored(const TokenLogprob& token, TokenNames names) {
  OrderedJson bytes = OrderedJson::array();
  for (const char byte : token.text) bytes.push_back(static_cast<unsigned char>(byte));
  return {{"token", token_name(token, names)}, {"logprob", token.logprob}, {"bytes", std::move(bytes)}};
}

OrderedJson tool_call(const ToolCall& call) {
  return {{"id", new_id("call_")},
          {"type", "function"},
          {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
}

}  // namespace

OrderedJson chat_logprobs(std::span<const ScoredToken> scores, TokenNames names) {
  OrderedJson content = OrderedJson::array();
  for (const ScoredToken& score : scores) {
    OrderedJson token = scored(score.chosen, names);
    token["top_logprobs"] = OrderedJson::array();
    for (const TokenLogprob& other : score.top) token["top_logprobs"].push_back(scored(other, names));
    content.push_back(std::move(token));
  }
  return {{"content", std::move(content)}, {"refusal", nullptr}};
}

OrderedJson whole_tool_calls(std::span<const ToolCall> calls) {
  OrderedJson list = OrderedJson::array();
  for (const ToolCall& call : calls) list.push_back(tool_call(call));
  return list;
}

OrderedJson streamed_tool_calls(std::span<const ToolCall> calls, std::size_t first_index) {
  OrderedJson list = OrderedJson::array();
  for (const ToolCall& call : calls) {
    OrderedJson piece = {{"index", first_index++}};
    piece.update(tool_call(call));
    list.push_back(std::move(piece));
  }
  return list;
}

OrderedJson chat_choice(std::size_t index, const Choice& choice, OrderedJson logprobs) {
  const TextDelta& said = choice.said;
  OrderedJson message = {{"role", "assistant"}, {"content", nullptr}, {"refusal", nullptr}};
  if (!said.text.empty() || said.calls.empty()) message["content"] = said.text;
  if (!said.reasoning.empty()) message["reasoning_content"] = said.reasoning;
  if (!said.calls.empty()) message["tool_calls"] = whole_tool_calls(said.calls);
  return {{"index", index},
          {"message", std::move(message)},
          {"logprobs", std::move(logprobs)},
          {"finish_reason", finish_reason(choice.finished->reason)},
          {"timings", timings(choice.finished->usage)}};
}

OrderedJson chat_chunk_choice(std::size_t index, OrderedJson delta, OrderedJson logprobs,
                              const Finished* finished) {
  OrderedJson choice = {{"index", index},
                        {"delta", std::move(delta)},
                        {"logprobs", std::move(logprobs)},
                        {"finish_reason", nullptr}};
  if (finished == nullptr) return choice;
  choice["finish_reason"] = finish_reason(finished->reason);
  choice["timings"] = timings(finished->usage);
  return choice;
}

OrderedJson chat_object(const CompletionHead& head, const std::string& type, OrderedJson choices) {
  return {{"id", head.id},
          {"object", type},
          {"created", head.created_unix_s},
          {"model", head.model},
          {"choices", std::move(choices)}};
}

}  // namespace tandem::ipc
