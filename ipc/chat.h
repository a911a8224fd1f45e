#pragma once

#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "ipc/answer_format.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

enum class ChatRole { system, developer, user, assistant, tool };

/// A call that the assistant made earlier.
struct PastCall {
  std::string id;  ///< empty where the client gave none
  std::string name;
  Json arguments;  ///< an object
};

/// One message of a conversation, as every dialect translates its own.
struct ChatMessage {
  /// Nothing (JSON's null), one text, or a list of text parts; Gemma 4's template treats a list of one part
  /// and a text differently.
  using Content = std::variant<std::monostate, std::string, std::vector<std::string>>;

  ChatRole role = ChatRole::user;
  Content content;
  std::string reasoning;        ///< of an assistant: its earlier thoughts
  std::vector<PastCall> calls;  ///< of an assistant
  std::string call_id;          ///< of a tool: the call it answers, empty if none is named
  std::string tool_name;        ///< of a tool: for results that answer no known call, empty if not known
};

/// A function that the model may call.
struct ChatTool {
  std::string name;
  std::string description;  ///< may be empty
  Json parameters;          ///< a JSON schema, its members in the client's order; null: no arguments
  /// Calls are held to the schema (they always are where a call is required), and a schema with keywords that
  /// are not understood is refused.
  bool strict = false;
};

struct ToolChoice {
  enum class Mode {
    none,       ///< no call; the tools are not shown to the model
    automatic,  ///< as the model likes
    required,   ///< some call
    named       ///< a call of `name`
  };
  Mode mode = Mode::automatic;
  std::string name;
};

enum class Thinking {
  model_default,  ///< as the model's published template has it: off
  off,
  on
};

/// A conversation that waits for its next message, in no dialect's words.
struct ChatRequest {
  std::vector<ChatMessage> messages;
  std::vector<ChatTool> tools;
  ToolChoice tool_choice;
  bool parallel_calls = true;  ///< false: the answer ends with its first call
  Thinking thinking = Thinking::model_default;
  AnswerFormat format;  ///< of the content; thoughts before it are free
};

}  // namespace tandem::ipc
