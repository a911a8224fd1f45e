#include "ipc/openai_response_reply.h"

#include "ipc/ids.h"
#include "ipc/stream_text.h"

namespace tandem::ipc {

namespace {

OrderedJson text_part(const std::string& text) {
  return {{"type", "output_text"},
          {"text", text},
          {"annotations", OrderedJson::array()},
          {"logprobs", OrderedJson::array()}};
}

OrderedJson thought_part(const std::string& text) {
  return {{"type", "reasoning_text"}, {"text", text}};
}

OrderedJson message_item(const std::string& id, const char* status, OrderedJson content) {
  return {{"id", id},
          {"type", "message"},
          {"status", status},
          {"role", "assistant"},
          {"content", std::move(content)}};
}

OrderedJson thought_item(const std::string& id, const char* status, OrderedJson content) {
  return {{"id", id},
          {"type", "reasoning"},
          {"status", status},
          {"summary", OrderedJson::array()},
          {"content", std::move(content)}};
}

/// The function as the client named it.
SpacedName client_name(const SpacedNames& spaced, const std::string& name) {
  const auto found = spaced.find(name);
  return found == spaced.end() ? SpacedName{{}, name} : found->second;
}

OrderedJson call_item(const std::string& id, const std::string& call_id, const char* status,
                      const SpacedName& function, const std::string& arguments) {
  OrderedJson item = {{"id", id},
                      {"type", "function_call"},
                      {"status", status},
                      {"call_id", call_id},
                      {"name", function.name}};
  if (!function.space.empty()) item["namespace"] = function.space;
  item["arguments"] = arguments;
  return item;
}

constexpr const char* kOpen = "in_progress";
constexpr const char* kClosed = "completed";

}  // namespace

OrderedJson response_object(const ResponseHead& head, const std::string& status, OrderedJson output) {
  OrderedJson object = {
      {"id", head.id},       {"object", "response"},       {"created_at", head.created_unix_s},
      {"status", status},    {"error", nullptr},           {"incomplete_details", nullptr},
      {"model", head.model}, {"output", std::move(output)}};
  object.update(head.repeated);
  object["usage"] = nullptr;
  return object;
}

const char* response_status(const Finished& finished) {
  return finished.reason == FinishReason::length ? "incomplete" : kClosed;
}

void add_response_end(OrderedJson& object, const Finished& finished) {
  if (finished.reason == FinishReason::length) {
    object["incomplete_details"] = {{"reason", "max_output_tokens"}};
  }
  const Usage& usage = finished.usage;
  object["usage"] = {{"input_tokens", usage.prompt_tok},
                     {"input_tokens_details", {{"cached_tokens", 0}}},
                     {"output_tokens", usage.completion_tok},
                     {"output_tokens_details", {{"reasoning_tokens", usage.reasoning_tok}}},
                     {"total_tokens", usage.prompt_tok + usage.completion_tok}};
}

OrderedJson response_output(const TextDelta& said, const Finished& finished, const SpacedNames& spaced) {
  OrderedJson output = OrderedJson::array();
  if (!said.reasoning.empty()) {
    output.push_back(
        thought_item(new_id("rs_"), kClosed, OrderedJson::array({thought_part(said.reasoning)})));
  }
  if (!said.text.empty()) {
    output.push_back(
        message_item(new_id("msg_"), response_status(finished), OrderedJson::array({text_part(said.text)})));
  }
  for (const ToolCall& call : said.calls) {
    output.push_back(
        call_item(new_id("fc_"), new_id("call_"), kClosed, client_name(spaced, call.name), call.arguments));
  }
  return output;
}

std::string ResponseItems::say(const TextDelta& delta) {
  std::string events;
  if (!delta.reasoning.empty()) events += text(Kind::reasoning, delta.reasoning);
  if (!delta.text.empty()) events += text(Kind::message, delta.text);
  for (const ToolCall& one : delta.calls) events += call(one);
  return events;
}

std::string ResponseItems::event(const std::string& type, const OrderedJson& members) {
  OrderedJson object = {{"type", type}, {"sequence_number", events_++}};
  object.update(members);
  return sse_event(type, object);
}

std::string ResponseItems::text(Kind kind, const std::string& piece) {
  std::string events = open(kind);
  said_ += piece;
  OrderedJson members = part_of();
  members["delta"] = piece;
  if (kind == Kind::message) members["logprobs"] = OrderedJson::array();
  const char* type = kind == Kind::message ? "response.output_text.delta" : "response.reasoning_text.delta";
  return events + event(type, members);
}

OrderedJson ResponseItems::part_of() const {
  return {{"item_id", item_id_}, {"output_index", output_.size()}, {"content_index", 0}};
}

std::string ResponseItems::open(Kind kind) {
  if (open_ == kind) return {};
  std::string events = close(kClosed);
  open_ = kind;
  const bool is_message = kind == Kind::message;
  item_id_ = new_id(is_message ? "msg_" : "rs_");
  said_.clear();
  const auto item = is_message ? message_item(item_id_, kOpen, OrderedJson::array())
                               : thought_item(item_id_, kOpen, OrderedJson::array());
  events += event("response.output_item.added", {{"output_index", output_.size()}, {"item", item}});
  OrderedJson members = part_of();
  members["part"] = is_message ? text_part("") : thought_part("");
  return events + event("response.content_part.added", members);
}

std::string ResponseItems::close(const char* status) {
  const Kind kind = std::exchange(open_, Kind::none);
  if (kind == Kind::none) return {};
  const bool is_message = kind == Kind::message;
  const auto part = is_message ? text_part(said_) : thought_part(said_);
  OrderedJson done = part_of();
  done["text"] = said_;
  if (is_message) done["logprobs"] = OrderedJson::array();
  std::string events = event(is_message ? "response.output_text.done" : "response.reasoning_text.done", done);
  OrderedJson part_done = part_of();
  part_done["part"] = part;
  events += event("response.content_part.done", part_done);
  const auto content = OrderedJson::array({part});
  const auto item =
      is_message ? message_item(item_id_, status, content) : thought_item(item_id_, status, content);
  events += event("response.output_item.done", {{"output_index", output_.size()}, {"item", item}});
  output_.push_back(item);
  return events;
}

/// A call comes whole: its item is opened, filled and closed.
std::string ResponseItems::call(const ToolCall& call) {
  std::string events = close(kClosed);
  const auto id = new_id("fc_");
  const auto call_id = new_id("call_");
  const SpacedName function = client_name(spaced_, call.name);
  const OrderedJson index = output_.size();
  events += event("response.output_item.added",
                  {{"output_index", index}, {"item", call_item(id, call_id, kOpen, function, "")}});
  events += event("response.function_call_arguments.delta",
                  {{"item_id", id}, {"output_index", index}, {"delta", call.arguments}});
  events += event(
      "response.function_call_arguments.done",
      {{"item_id", id}, {"output_index", index}, {"name", function.name}, {"arguments", call.arguments}});
  const auto item = call_item(id, call_id, kClosed, function, call.arguments);
  events += event("response.output_item.done", {{"output_index", index}, {"item", item}});
  output_.push_back(item);
  return events;
}

}  // namespace tandem::ipc
