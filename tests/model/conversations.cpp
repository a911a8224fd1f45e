#include "tests/model/conversations.h"

#include <algorithm>
#include <fstream>
#include <map>

#include "model/ordered_json.h"
#include "tests/support/fixture.h"

namespace tandem::test_support {
namespace {

using Json = OrderedJson;

model::Role role_of(const std::string& name) {
  static const std::map<std::string, model::Role> kRoles = {{"system", model::Role::system},
                                                            {"developer", model::Role::developer},
                                                            {"user", model::Role::user},
                                                            {"assistant", model::Role::assistant},
                                                            {"tool", model::Role::tool}};
  return kRoles.at(name);
}

model::MessageContent content_of(const Json& content) {
  if (content.is_null()) return {};
  if (content.is_string()) return content.get<std::string>();
  std::vector<std::string> parts;
  for (const auto& part : content) parts.push_back(part.at("text"));
  return parts;
}

std::optional<std::string> text_of(const Json& object, const char* key) {
  return object.contains(key) ? std::optional(object.at(key).get<std::string>()) : std::nullopt;
}

model::ChatMessage message_of(const Json& json) {
  model::ChatMessage message;
  message.role = role_of(json.at("role"));
  message.content = content_of(json.at("content"));
  message.reasoning = text_of(json, "reasoning").value_or(text_of(json, "reasoning_content").value_or(""));
  message.tool_call_id = text_of(json, "tool_call_id");
  message.tool_name = text_of(json, "name");
  for (const auto& call : json.value("tool_calls", Json::array())) {
    const auto& function = call.at("function");
    message.tool_calls.push_back({text_of(call, "id"), function.at("name"), function.at("arguments")});
  }
  return message;
}

std::ifstream open(const char* name) {
  std::ifstream file(reference_path(name));
  file.exceptions(std::ios::failbit | std::ios::badbit);
  return file;
}

}  // namespace

bool Conversation::needs_tools_or_thinking() const {
  return options.thinking || !options.tools.empty() ||
         std::ranges::any_of(messages, [](const auto& message) { return !message.tool_calls.empty(); });
}

std::vector<Conversation> load_conversations() {
  auto file = open("chat/conversations.json");
  std::vector<Conversation> conversations;
  for (const auto& json : Json::parse(file)) {
    Conversation conversation{json.at("name"), json.at("about"), {}, {}};
    for (const auto& message : json.at("messages")) conversation.messages.push_back(message_of(message));
    conversation.options.thinking = json.value("thinking", false);
    conversation.options.add_generation_prompt = json.value("add_generation_prompt", true);
    for (const auto& tool : json.value("tools", Json::array())) {
      conversation.options.tools.push_back({tool.at("function")});
    }
    conversations.push_back(std::move(conversation));
  }
  return conversations;
}

nlohmann::json load_renders() {
  auto file = open("chat/renders.json");
  return nlohmann::json::parse(file).at("templates");
}

}  // namespace tandem::test_support
