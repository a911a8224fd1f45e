#include "daemon/chat_preparer.h"

#include <utility>

#include "model/chat.h"
#include "model/gbnf.h"
#include "model/json_schema_grammar.h"

namespace tandem::daemon {

namespace {

using Json = nlohmann::ordered_json;

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

std::vector<model::ChatMessage> messages_of(const ipc::ChatRequest& chat) {
  std::vector<model::ChatMessage> messages;
  for (const auto& message : chat.messages) {
    auto& out = messages.emplace_back();
    out.role = role_of(message.role);
    out.content = message.content;
    out.reasoning = message.reasoning;
    for (const auto& call : message.calls) {
      out.tool_calls.push_back({if_any(call.id), call.name, call.arguments});
    }
    out.tool_call_id = if_any(message.call_id);
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
  using Mode = ipc::ToolChoice::Mode;
  model::ChatOptions options;
  options.thinking = chat.thinking == ipc::Thinking::on;
  if (chat.tool_choice.mode != Mode::none) {
    for (const auto& tool : chat.tools) options.tools.push_back({function_of(tool)});
  }
  if (chat.tool_choice.mode == Mode::required) options.forced_call = "";
  if (chat.tool_choice.mode == Mode::named) options.forced_call = chat.tool_choice.name;
  return options;
}

/// With thinking off the prompt of Gemma 4 holds an empty thought, and no other is wanted.
model::ThoughtFirst thought_first(const model::ChatOptions& options, const model::AnswerStart& start) {
  if (start.in_thought) return model::ThoughtFirst::is_open;
  return options.thinking ? model::ThoughtFirst::maybe : model::ThoughtFirst::no;
}

}  // namespace

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
  try {
    const auto prompt = model::render_chat(format, messages_of(chat), options);
    rules->chat = engine::ChatReading{format, prompt.answer};
    if (chat.format.kind != ipc::AnswerFormat::Kind::free) {
      rules->constraint = engine::Constraint{masks_of(chat.format), thought_first(options, prompt.answer)};
    }
    return {model::encode(prompt.pieces, tokenizer_), std::move(rules)};
  } catch (const model::ChatError& error) {
    throw refused(sentence(error), "messages");
  }
}

std::shared_ptr<const ipc::AnswerRules> ChatPreparer::prepare_format(const ipc::AnswerFormat& format) {
  if (format.kind == ipc::AnswerFormat::Kind::free) return nullptr;
  auto rules = std::make_shared<EngineRules>();
  rules->constraint = engine::Constraint{masks_of(format), model::ThoughtFirst::no};
  return rules;
}

std::shared_ptr<model::GrammarMasks> ChatPreparer::masks_of(const ipc::AnswerFormat& format) {
  using Kind = ipc::AnswerFormat::Kind;
  try {
    switch (format.kind) {
      case Kind::free:
        return nullptr;
      case Kind::json_object:
        return grammars_.masks("json_object", model::json_object_grammar);
      case Kind::json_schema:
        return grammars_.masks("json_schema " + format.schema.dump(),
                               [&] { return model::json_schema_grammar(format.schema); });
      case Kind::gbnf:
        return grammars_.masks("gbnf " + format.grammar, [&] { return model::read_gbnf(format.grammar); });
    }
  } catch (const model::GrammarError& error) {
    throw refused("'" + format.field + "': " + sentence(error), format.field);
  }
  return nullptr;
}

}  // namespace tandem::daemon
