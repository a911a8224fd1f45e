#include "ipc/anthropic_reply.h"

#include <utility>

#include "ipc/ids.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

const char* stop_reason(const Finished& finished) {
  if (finished.reason == FinishReason::length) return "max_tokens";
  if (finished.reason == FinishReason::tool_calls) return "tool_use";
  return finished.stop_string.empty() ? "end_turn" : "stop_sequence";
}

/// Nobody signs thoughts here; clients want the member.
OrderedJson thinking_block(const std::string& text) {
  return {{"type", "thinking"}, {"thinking", text}, {"signature", ""}};
}

OrderedJson text_block(const std::string& text) {
  return {{"type", "text"}, {"text", text}};
}

OrderedJson call_block(const std::string& name, OrderedJson input) {
  return {{"type", "tool_use"}, {"id", new_id("toolu_")}, {"name", name}, {"input", std::move(input)}};
}

}  // namespace

OrderedJson anthropic_stop(const Finished& finished) {
  const bool by_string = finished.reason == FinishReason::stop && !finished.stop_string.empty();
  return {{"stop_reason", stop_reason(finished)},
          {"stop_sequence", by_string ? OrderedJson(finished.stop_string) : OrderedJson(nullptr)}};
}

OrderedJson anthropic_usage(std::uint64_t input_tok, std::uint64_t output_tok) {
  return {{"input_tokens", input_tok},
          {"cache_creation_input_tokens", 0},
          {"cache_read_input_tokens", 0},
          {"output_tokens", output_tok}};
}

OrderedJson anthropic_content(const TextDelta& said) {
  OrderedJson blocks = OrderedJson::array();
  if (!said.reasoning.empty()) blocks.push_back(thinking_block(said.reasoning));
  if (!said.text.empty()) blocks.push_back(text_block(said.text));
  for (const ToolCall& call : said.calls) {
    blocks.push_back(call_block(call.name, OrderedJson::parse(call.arguments)));
  }
  return blocks;
}

OrderedJson anthropic_message(const std::string& id, const std::string& model, OrderedJson content) {
  return {{"id", id},
          {"type", "message"},
          {"role", "assistant"},
          {"model", model},
          {"content", std::move(content)},
          {"stop_reason", nullptr},
          {"stop_sequence", nullptr}};
}

std::string AnthropicBlocks::say(const TextDelta& delta) {
  std::string events;
  if (!delta.reasoning.empty()) {
    events += open(Kind::thinking);
    events += piece({{"type", "thinking_delta"}, {"thinking", delta.reasoning}});
  }
  if (!delta.text.empty()) {
    events += open(Kind::text);
    events += piece({{"type", "text_delta"}, {"text", delta.text}});
  }
  for (const ToolCall& one : delta.calls) events += call(one);
  return events;
}

std::string AnthropicBlocks::close() {
  if (std::exchange(open_, Kind::none) == Kind::none) return {};
  return sse_event("content_block_stop", {{"type", "content_block_stop"}, {"index", begun_ - 1}});
}

std::string AnthropicBlocks::open(Kind kind) {
  if (open_ == kind) return {};
  std::string events = close();
  events += start(kind == Kind::thinking ? thinking_block("") : text_block(""));
  open_ = kind;
  return events;
}

std::string AnthropicBlocks::start(const OrderedJson& block) {
  return sse_event("content_block_start",
                   {{"type", "content_block_start"}, {"index", begun_++}, {"content_block", block}});
}

std::string AnthropicBlocks::piece(const OrderedJson& delta) const {
  return sse_event("content_block_delta",
                   {{"type", "content_block_delta"}, {"index", begun_ - 1}, {"delta", delta}});
}

/// A call comes whole: its block is opened, filled and closed.
std::string AnthropicBlocks::call(const ToolCall& call) {
  std::string events = close();
  events += start(call_block(call.name, OrderedJson::object()));
  events += piece({{"type", "input_json_delta"}, {"partial_json", call.arguments}});
  events += sse_event("content_block_stop", {{"type", "content_block_stop"}, {"index", begun_ - 1}});
  return events;
}

}  // namespace tandem::ipc
