#include "model/chat_gemma.h"
#include "model/gemma4_values.h"
#include "model/ordered_json.h"
#include "model/python_text.h"

namespace tandem::model {
namespace {

Gemma4Rules rules_of(ChatTemplate revision) {
  Gemma4Rules rules;
  const bool r2 = revision == ChatTemplate::gemma4_r2;
  const bool before_r4 = r2 || revision == ChatTemplate::gemma4_r3;
  rules.drops_keyword_properties = r2;
  rules.writes_system_as_python = r2;
  rules.counts_blank_content = r2;
  rules.null_is_none = before_r4;
  rules.takes_text_arguments = before_r4;
  rules.needs_tool_name = before_r4;
  rules.keeps_thoughts_of_calls_only = before_r4;
  rules.looks_ahead = !before_r4;
  rules.opens_thought_after_result = !before_r4;
  return rules;
}

/// `text` without what stands in thought channels, trimmed.
std::string without_thoughts(std::string_view text) {
  constexpr std::string_view kOpen = "<|channel>";
  constexpr std::string_view kClose = "<channel|>";
  std::string kept;
  while (true) {
    const auto close = text.find(kClose);
    const auto part = text.substr(0, close);
    kept += part.substr(0, part.find(kOpen));
    if (close == std::string_view::npos) return std::string(python_strip(kept));
    text.remove_prefix(close + kClose.size());
  }
}

std::string part_text(Role role, std::string_view part) {
  return role == Role::assistant ? without_thoughts(part) : std::string(python_strip(part));
}

std::string content_text(const ChatMessage& message) {
  if (const auto* text = std::get_if<std::string>(&message.content)) return part_text(message.role, *text);
  std::string joined;
  if (const auto* parts = std::get_if<std::vector<std::string>>(&message.content)) {
    for (const auto& part : *parts) joined += part_text(message.role, part);
  }
  return joined;
}

bool is_empty(const MessageContent& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return text->empty();
  const auto* parts = std::get_if<std::vector<std::string>>(&content);
  return parts == nullptr || parts->empty();
}

/// The list of parts as a client sends it, the way Python prints it.
std::string parts_as_python(const std::vector<std::string>& parts) {
  auto list = OrderedJson::array();
  for (const auto& part : parts) list.push_back({{"type", "text"}, {"text", part}});
  return python_str(list);
}

class Gemma4Renderer {
 public:
  Gemma4Renderer(const Gemma4Rules& rules, std::span<const ChatMessage> messages, const ChatOptions& options)
      : rules_(rules), messages_(messages), options_(options), values_(rules_, out_) {}

  ChatPrompt render();

 private:
  /// What the last turn ended with, as far as the generation prompt cares.
  enum class LastPart { other, call, result };

  void system_turn();
  void system_text(const MessageContent& content);
  void message(std::size_t index);
  bool continues_turn(std::size_t index) const;
  void thought(std::size_t index);
  void call(std::size_t index, const ChatToolCall& call);
  void results(std::size_t index);
  void result(std::size_t index, const std::string& tool_name);
  std::string tool_name(std::size_t index, const ChatMessage& caller) const;
  void end_of_turn(std::size_t index, bool has_content);
  AnswerStart generation_prompt();
  AnswerStart begin_call();

  const ChatMessage* next_speaker(std::size_t index) const;

  const Gemma4Rules rules_;
  std::span<const ChatMessage> messages_;
  const ChatOptions& options_;
  PieceWriter out_;
  Gemma4Values values_;
  std::size_t first_ = 0;       ///< message after the system turn
  std::size_t after_user_ = 0;  ///< message after the last user's, first_ if there is none
  LastPart last_part_ = LastPart::other;
};

ChatPrompt Gemma4Renderer::render() {
  out_.control("<bos>");
  const auto opening = messages_.front().role;
  const bool has_system = opening == Role::system || opening == Role::developer;
  first_ = has_system ? 1 : 0;
  if (has_system || options_.thinking || !options_.tools.empty()) system_turn();
  after_user_ = first_;
  for (auto i = first_; i < messages_.size(); ++i) {
    if (messages_[i].role == Role::user) after_user_ = i + 1;
  }
  for (auto i = first_; i < messages_.size(); ++i) {
    if (messages_[i].role != Role::tool) message(i);  // results stand beside their calls
  }
  auto answer = options_.add_generation_prompt ? generation_prompt() : AnswerStart();
  return {out_.take(), std::move(answer)};
}

void Gemma4Renderer::system_turn() {
  out_.control("<|turn>");
  out_.plain("system\n");
  if (options_.thinking) {
    out_.control("<|think|>");
    out_.plain("\n");
  }
  if (first_ == 1) system_text(messages_.front().content);
  for (const auto& tool : options_.tools) {
    out_.control("<|tool>");
    write_declaration(tool.function, rules_, out_);
    out_.control("<tool|>");
  }
  out_.control("<turn|>");
  out_.plain("\n");
}

void Gemma4Renderer::system_text(const MessageContent& content) {
  if (const auto* text = std::get_if<std::string>(&content)) return out_.plain(python_strip(*text));
  const auto* parts = std::get_if<std::vector<std::string>>(&content);
  if (rules_.writes_system_as_python) return out_.plain(parts == nullptr ? "None" : parts_as_python(*parts));
  if (parts == nullptr) return;
  for (const auto& part : *parts) {
    out_.plain(python_strip(part));
    out_.plain(" ");
  }
}

void Gemma4Renderer::message(std::size_t index) {
  const auto& message = messages_[index];
  last_part_ = LastPart::other;
  if (!continues_turn(index)) {
    out_.control("<|turn>");
    out_.plain(message.role == Role::assistant ? "model" : name_of(message.role));
    out_.plain("\n");
  }
  thought(index);
  for (const auto& call : message.tool_calls) this->call(index, call);
  if (!message.tool_calls.empty()) {
    last_part_ = LastPart::call;
    results(index);
  }
  const auto content = content_text(message);
  out_.plain(content);
  end_of_turn(index, rules_.counts_blank_content ? !is_empty(message.content) : !content.empty());
}

/// An assistant message goes on with the turn of the one before, whose calls may have been answered between.
bool Gemma4Renderer::continues_turn(std::size_t index) const {
  if (messages_[index].role != Role::assistant) return false;
  for (auto i = index; i > first_; --i) {
    if (messages_[i - 1].role != Role::tool) return messages_[i - 1].role == Role::assistant;
  }
  return false;
}

void Gemma4Renderer::thought(std::size_t index) {
  const auto& message = messages_[index];
  if (message.reasoning.empty() || index < after_user_) return;
  if (rules_.keeps_thoughts_of_calls_only && message.tool_calls.empty()) return;
  out_.control("<|channel>");
  out_.plain("thought\n" + message.reasoning + "\n");
  out_.control("<channel|>");
}

void Gemma4Renderer::call(std::size_t index, const ChatToolCall& call) {
  out_.control("<|tool_call>");
  out_.plain("call:" + call.name + "{");
  require_shallow(call.arguments, describe(messages_, index));
  if (call.arguments.is_object()) {
    values_.members(call.arguments, Gemma4Values::Keys::bare);
  } else if (rules_.takes_text_arguments && call.arguments.is_string()) {
    out_.plain(call.arguments.get_ref<const std::string&>());
  } else if (!rules_.takes_text_arguments && !call.arguments.is_null()) {
    throw ChatError(describe(messages_, index) + ": the arguments of \"" + call.name +
                    "\" are not an object");
  }
  out_.plain("}");
  out_.control("<tool_call|>");
}

void Gemma4Renderer::results(std::size_t index) {
  for (auto i = index + 1; i < messages_.size() && messages_[i].role == Role::tool; ++i) {
    result(i, tool_name(i, messages_[index]));
    last_part_ = LastPart::result;
  }
}

/// Of several calls with the result's id the last one counts.
std::string Gemma4Renderer::tool_name(std::size_t index, const ChatMessage& caller) const {
  const auto& result = messages_[index];
  auto name = result.tool_name;
  for (const auto& call : caller.tool_calls) {
    if (call.id == result.tool_call_id) name = call.name;
  }
  if (rules_.needs_tool_name && !name) {
    throw ChatError(describe(messages_, index) + ": answers no call of the message before",
                    "tool_call_id must be the id of one of its calls.");
  }
  if (!rules_.needs_tool_name && name.value_or("").empty()) return "unknown";
  return *name;
}

void Gemma4Renderer::result(std::size_t index, const std::string& tool_name) {
  const auto& content = messages_[index].content;
  OrderedJson value;
  if (const auto* text = std::get_if<std::string>(&content)) value = *text;
  if (const auto* parts = std::get_if<std::vector<std::string>>(&content)) {
    std::string joined;
    for (const auto& part : *parts) joined += part;
    value = joined;
  }
  out_.control("<|tool_response>");
  out_.plain("response:" + tool_name + "{value:");
  values_.write(value, Gemma4Values::Keys::bare);
  out_.plain("}");
  out_.control("<tool_response|>");
}

/// The message after this one that is no tool's result.
const ChatMessage* Gemma4Renderer::next_speaker(std::size_t index) const {
  for (auto i = index + 1; i < messages_.size(); ++i) {
    if (messages_[i].role != Role::tool) return &messages_[i];
  }
  return nullptr;
}

void Gemma4Renderer::end_of_turn(std::size_t index, bool has_content) {
  if (last_part_ == LastPart::call) return out_.control("<|tool_response>");  // asks for the result
  const bool answered = last_part_ == LastPart::result;
  if (rules_.looks_ahead) {
    const auto* next = next_speaker(index);
    const bool assistant = messages_[index].role == Role::assistant;
    if (assistant && next != nullptr && next->role == Role::assistant) return;
    if (answered && !has_content && next == nullptr) return;
  } else if (answered && !has_content) {
    return;
  }
  out_.control("<turn|>");
  out_.plain("\n");
}

AnswerStart Gemma4Renderer::generation_prompt() {
  const bool new_turn = last_part_ == LastPart::other;
  if (new_turn) {
    out_.control("<|turn>");
    out_.plain("model\n");
    if (!options_.thinking) {
      out_.control("<|channel>");
      out_.plain("thought\n");
      out_.control("<channel|>");
    }
  }
  if (options_.forced_call) return begin_call();
  const bool answered = last_part_ == LastPart::result;
  if (!answered || !options_.thinking || !rules_.opens_thought_after_result) return {};
  out_.control("<|channel>");
  out_.plain("thought\n");
  return {true, {}};
}

AnswerStart Gemma4Renderer::begin_call() {
  const auto& name = *options_.forced_call;
  const auto begun = name.empty() ? std::string("call:") : "call:" + name + "{";
  out_.control("<|tool_call>");
  out_.plain(begun);
  return {false, begun};
}

}  // namespace

ChatPrompt render_gemma4(ChatTemplate revision, std::span<const ChatMessage> messages,
                         const ChatOptions& options) {
  return Gemma4Renderer(rules_of(revision), messages, options).render();
}

}  // namespace tandem::model
