#include "ipc/openai_response_tools.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "ipc/chat_sequences.h"
#include "ipc/openai_chat_messages.h"

namespace tandem::ipc {

namespace {

constexpr std::array<std::string_view, 4> kNotShown = {"web_search", "web_search_preview",
                                                       "web_search_2025_08_26", "image_generation"};

/// Members beyond those of chat completions: every function is shown from the start, and results are texts.
ChatTool read_response_function(Fields& fields, const std::string& where) {
  fields.boolean("defer_loading");
  fields.value("output_schema");
  check_tool_callers(fields.value("allowed_callers"), where + ".allowed_callers");
  return read_function(fields, where);
}

class ToolReader {
 public:
  void read(const Json& json, const std::string& where) {
    Fields fields(json, where + ".");
    const auto type = fields.text("type").value_or("");
    if (std::ranges::find(kNotShown, type) != kNotShown.end()) return;
    if (type == "namespace") {
      read_namespace(fields, where);
    } else {
      add(read_typed(fields, type, where));
    }
    tools_.shown.push_back(json);
  }

  ResponseTools take() { return std::move(tools_); }

 private:
  static ChatTool read_typed(Fields& fields, const std::string& type, const std::string& where) {
    if (type == "function") return read_response_function(fields, where);
    refuse_field(where + ".type", "is '" + type + "'; only 'function' and 'namespace' are known here");
  }

  void read_namespace(Fields& fields, const std::string& where) {
    const auto space = fields.text("name").value_or("");
    if (!is_function_name(space)) {
      refuse_field(where + ".name", "must be 1 to 128 letters, digits and _ - . : /");
    }
    fields.text("description");
    const Json* members = fields.value("tools");
    fields.refuse_others();
    if (members == nullptr || !members->is_array()) refuse_field(where + ".tools", "must be an array");
    for (std::size_t i = 0; i < members->size(); ++i) {
      const std::string place = where + ".tools[" + std::to_string(i) + "]";
      Fields inner((*members)[i], place + ".");
      const auto type = inner.text("type").value_or("");
      if (type != "function")
        refuse_field(place + ".type", "is '" + type + "'; only 'function' is known here");
      add_spaced(read_response_function(inner, place), space, place);
    }
  }

  void add_spaced(ChatTool tool, const std::string& space, const std::string& where) {
    const std::string joined = joined_name(space, tool.name);
    if (!is_function_name(joined)) {
      refuse_field(where + ".name", "is too long: with its namespace it has " +
                                        std::to_string(joined.size()) + " characters, at most 128 are taken");
    }
    tools_.spaced[joined] = {space, std::exchange(tool.name, joined)};
    add(std::move(tool));
  }

  void add(ChatTool tool) {
    if (tools_.functions.size() >= kMaxTools) {
      refuse_field("tools", "are more than " + std::to_string(kMaxTools));
    }
    if (has_tool(tools_.functions, tool.name)) refuse_field("tools", "has '" + tool.name + "' twice");
    tools_.functions.push_back(std::move(tool));
  }

  ResponseTools tools_;
};

}  // namespace

std::string joined_name(const std::string& space, const std::string& name) {
  if (space.empty()) return name;
  return space + (space.back() == '_' ? "" : "__") + name;
}

ResponseTools read_response_tools(const Json* tools) {
  if (tools == nullptr) return {};
  if (!tools->is_array()) refuse_field("tools", "must be an array");
  ToolReader reader;
  for (std::size_t i = 0; i < tools->size(); ++i) {
    reader.read((*tools)[i], "tools[" + std::to_string(i) + "]");
  }
  return reader.take();
}

ToolChoice read_response_tool_choice(const Json* choice, const std::vector<ChatTool>& tools) {
  if (const auto word = read_tool_choice_word(choice, tools)) return *word;
  Fields fields(*choice, "tool_choice.");
  if (fields.text("type").value_or("") != "function") refuse_field("tool_choice.type", "must be 'function'");
  auto name = joined_name(fields.text("namespace").value_or(""), fields.text("name").value_or(""));
  fields.refuse_others();
  if (!has_tool(tools, name)) refuse_field("tool_choice.name", "'" + name + "' is not one of the tools");
  return {ToolChoice::Mode::named, std::move(name)};
}

}  // namespace tandem::ipc
