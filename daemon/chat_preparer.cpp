#include "daemon/chat_preparer.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "model/call_grammar.h"
#include "model/chat.h"
#include "model/gbnf.h"
#include "model/json_schema_grammar.h"
#include "model/ordered_json.h"
#include "model/token_trie.h"

namespace tandem::daemon {

namespace {

using Json = OrderedJson;
using Mode = ipc::ToolChoice::Mode;

constexpr std::size_t kMostCalls = 1024;  // of one message

ipc::RequestError refused(const std::string& message, const std::string& field) {
  return {400, "invalid_request_error", message, field};
}

std::string sentence(const Error& error) {
  return error.hint().empty() ? error.what() : std::string(error.what()) + "; " + error.hint();
}

model::Role role_of(ipc::ChatRole role) noexcept {
  switch (role) {
    case ipc::ChatRole::system:
      return model::Role::system;
    case ipc::ChatRole::developer:
      return model::Role::developer;
    case ipc::ChatRole::user:
      return model::Role::user;
    case ipc::ChatRole::assistant:
      return model::Role::assistant;
    case ipc::ChatRole::tool:
      break;
  }
  return model::Role::tool;
}

std::optional<std::string> if_any(const std::string& text) {
  return text.empty() ? std::nullopt : std::optional(text);
}

/// Gemma 3's format knows no developer; there it is the system that speaks.
model::Role role_in(model::ChatTemplate format, ipc::ChatRole role) noexcept {
  const bool is_developer = role == ipc::ChatRole::developer;
  return is_developer && format == model::ChatTemplate::gemma3 ? model::Role::system : role_of(role);
}

/// Templates take one text of the system; of several parts some leave all but the first out.
model::MessageContent content_of(const ipc::ChatMessage& message) {
  const auto* parts = std::get_if<std::vector<std::string>>(&message.content);
  const bool is_system = message.role == ipc::ChatRole::system || message.role == ipc::ChatRole::developer;
  if (parts == nullptr || !is_system) return message.content;
  std::string joined;
  for (const auto& part : *parts) joined += (joined.empty() ? "" : "\n") + part;
  return joined;
}

/// Templates leave a result out that does not follow the calls it may answer, and look for its call among
/// them all.
void check_calls_and_results(const ipc::ChatRequest& chat) {
  bool after_calls = false;
  for (std::size_t i = 0; i < chat.messages.size(); ++i) {
    const auto& message = chat.messages[i];
    if (message.calls.size() > kMostCalls) {
      throw refused("message " + std::to_string(i + 1) + " has " + std::to_string(message.calls.size()) +
                        " calls, at most " + std::to_string(kMostCalls) + " are taken",
                    "messages");
    }
    if (message.role != ipc::ChatRole::tool) {
      after_calls = !message.calls.empty();
    } else if (!after_calls) {
      throw refused("message " + std::to_string(i + 1) +
                        " is a tool's result, but does not follow an assistant's calls",
                    "messages");
    }
  }
}

/// A result without an id is its tool's by name, and not of any call without an id.
std::optional<std::string> call_id_of(const ipc::ChatMessage& message) {
  if (message.call_id.empty() && message.tool_name.empty()) return std::nullopt;
  return message.call_id;
}

std::vector<model::ChatMessage> messages_of(const ipc::ChatRequest& chat, model::ChatTemplate format) {
  std::vector<model::ChatMessage> messages;
  for (const auto& message : chat.messages) {
    auto& out = messages.emplace_back();
    out.role = role_in(format, message.role);
    out.content = content_of(message);
    out.reasoning = message.reasoning;
    for (const auto& call : message.calls) {
      out.tool_calls.push_back({if_any(call.id), call.name, call.arguments});
    }
    out.tool_call_id = call_id_of(message);
    out.tool_name = if_any(message.tool_name);
  }
  return messages;
}

Json function_of(const ipc::ChatTool& tool) {
  Json function = {{"name", tool.name}, {"description", tool.description}};
  if (!tool.parameters.is_null()) function["parameters"] = tool.parameters;
  return function;
}

model::ChatOptions options_of(const ipc::ChatRequest& chat) {
  model::ChatOptions options;
  options.thinking = chat.thinking == ipc::Thinking::on;
  if (chat.tool_choice.mode != Mode::none) {
    for (const auto& tool : chat.tools) options.tools.push_back({function_of(tool)});
  }
  if (chat.tool_choice.mode == Mode::required) options.forced_call = "";
  if (chat.tool_choice.mode == Mode::named) options.forced_call = chat.tool_choice.name;
  return options;
}

bool must_call(const ipc::ChatRequest& chat) noexcept {
  return chat.tool_choice.mode == Mode::required || chat.tool_choice.mode == Mode::named;
}

/// The functions that the answer may call.
std::vector<model::CallableTool> callable_tools(const ipc::ChatRequest& chat) {
  std::vector<model::CallableTool> tools;
  for (const auto& tool : chat.tools) {
    const bool may_call = chat.tool_choice.mode != Mode::named || tool.name == chat.tool_choice.name;
    if (may_call) tools.push_back({tool.name, tool.parameters, tool.strict});
  }
  return tools;
}

bool one_call_only(const ipc::ChatRequest& chat) noexcept {
  return !chat.parallel_calls || chat.tool_choice.mode == Mode::named;
}

ipc::RequestError refused(const model::GrammarError& error, const std::string& field) {
  return refused("'" + field + "': " + sentence(error), field);
}

std::vector<model::GrammarRule> rules_of(const ipc::AnswerFormat& format) {
  using Kind = ipc::AnswerFormat::Kind;
  try {
    if (format.kind == Kind::json_schema) return model::json_schema_grammar(format.schema);
    return format.kind == Kind::gbnf ? model::read_gbnf(format.grammar) : model::json_object_grammar();
  } catch (const model::GrammarError& error) {
    throw refused(error, format.field);
  }
}

/// What tells formats apart; the text of a schema is that of its members in their order.
std::string key_of(const ipc::AnswerFormat& format) {
  using Kind = ipc::AnswerFormat::Kind;
  if (format.kind == Kind::json_schema) return "schema " + format.schema.dump();
  return format.kind == Kind::gbnf ? "gbnf " + format.grammar : "object";
}

}  // namespace

void refuse_hopeless_prompt(std::size_t bytes, const model::Tokenizer& tokenizer, std::uint64_t context_tok,
                            const std::string& field) {
  const auto least = tokenizer.least_tokens(bytes);
  if (least <= context_tok) return;
  throw ipc::RequestError(400, "invalid_request_error",
                          "the prompt has " + std::to_string(bytes) + " bytes, at least " +
                              std::to_string(least) + " tokens; the context holds " +
                              std::to_string(context_tok),
                          field, "context_length_exceeded");
}

ipc::PreparedChat ChatPreparer::prepare_chat(const ipc::ChatRequest& chat) {
  if (!format_) {
    throw refused(
        "this model's vocabulary has no turn markers that Tandem knows, so there is no way to chat with it; "
        "POST /v1/completions continues texts",
        "messages");
  }
  const auto format = format_->rendering;
  const auto options = options_of(chat);
  if (!options.tools.empty() && !model::has_tools(format)) {
    throw refused("this model's chat format has no markup for tools", "tools");
  }
  if (options.thinking && !model::has_thinking(format)) {
    throw refused("this model's chat format has no thoughts", "thinking");
  }
  auto rules = std::make_shared<EngineRules>();
  check_calls_and_results(chat);
  try {
    const auto prompt = model::render_chat(format, messages_of(chat, format), options);
    std::size_t bytes = 0;
    for (const auto& piece : prompt.pieces) bytes += piece.text.size();
    refuse_hopeless_prompt(bytes, tokenizer_, limits_.context_tok, "messages");
    rules->chat = engine::ChatReading{format, prompt.answer, one_call_only(chat), limits_.call_depth};
    rules->constraint = constraint_of(chat, prompt.answer);
    return {model::encode(prompt.pieces, tokenizer_), std::move(rules)};
  } catch (const model::ChatError& error) {
    throw refused(sentence(error), "messages");
  }
}

std::shared_ptr<const ipc::AnswerRules> ChatPreparer::prepare_format(const ipc::AnswerFormat& format) {
  if (format.kind == ipc::AnswerFormat::Kind::free) return nullptr;
  auto rules = std::make_shared<EngineRules>();
  rules->constraint = engine::Constraint{masks_of(format), model::ThoughtFirst::no, {}};
  return rules;
}

/// Calls are held to a grammar where the answer must be one, a tool is strict, or the content has a format,
/// which calls have to stand beside.
std::optional<engine::Constraint> ChatPreparer::constraint_of(const ipc::ChatRequest& chat,
                                                              const model::AnswerStart& start) {
  const bool free = chat.format.kind == ipc::AnswerFormat::Kind::free;
  const bool may_call = !chat.tools.empty() && chat.tool_choice.mode != Mode::none;
  const bool strict = std::ranges::any_of(chat.tools, &ipc::ChatTool::strict);
  engine::Constraint constraint;
  if (may_call && (!free || strict || must_call(chat))) {
    constraint.masks = masks_with_calls(chat);
  } else if (!free) {
    constraint.masks = masks_of(chat.format);
  } else {
    return std::nullopt;
  }
  if (start.call) {
    constraint.begun = std::string(model::kCallBeginByte) + *start.call;
  } else if (start.in_thought) {
    constraint.thought = model::ThoughtFirst::is_open;
  } else if (chat.thinking == ipc::Thinking::on) {
    constraint.thought = model::ThoughtFirst::maybe;
  }
  return constraint;
}

std::shared_ptr<model::GrammarMasks> ChatPreparer::masks_of(const ipc::AnswerFormat& format) {
  try {
    return grammars_.masks(key_of(format), model::CallMarkup::left_out, [&] { return rules_of(format); });
  } catch (const model::GrammarError& error) {
    throw refused(error, format.field);
  }
}

std::shared_ptr<model::GrammarMasks> ChatPreparer::masks_with_calls(const ipc::ChatRequest& chat) {
  model::CallAnswer answer;
  answer.must_call = must_call(chat);
  answer.several_calls = !one_call_only(chat);
  std::string key = "calls " + std::to_string(answer.must_call) + std::to_string(answer.several_calls);
  const auto tools = callable_tools(chat);
  for (const auto& tool : tools) {
    key += " " + tool.name + " " + std::to_string(tool.strict) + tool.parameters.dump();
  }
  const bool has_content = !answer.must_call && chat.format.kind != ipc::AnswerFormat::Kind::free;
  if (has_content) key += " " + key_of(chat.format);
  try {
    return grammars_.masks(key, model::CallMarkup::as_bytes, [&] {
      if (has_content) answer.content = rules_of(chat.format);
      return model::call_grammar(tools, answer);
    });
  } catch (const model::GrammarError& error) {
    throw refused(error, "tools");
  }
}

}  // namespace tandem::daemon
