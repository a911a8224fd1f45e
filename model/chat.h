#pragma once

#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "model/answer_parser.h"
#include "model/chat_pieces.h"
#include "model/chat_template.h"
#include "model/error.h"
#include "model/ordered_json.h"

namespace tandem::model {

/// A conversation that the model's chat format cannot express, such as two user messages in a row for
/// Gemma 3.
class ChatError : public Error {
 public:
  using Error::Error;
};

enum class Role { system, developer, user, assistant, tool };

/// What a message says: nothing (JSON's null), one text, or a list of text parts.  Templates treat a list of
/// one part and a text differently.
using MessageContent = std::variant<std::monostate, std::string, std::vector<std::string>>;

/// A call that the assistant made earlier.
struct ChatToolCall {
  std::optional<std::string> id;
  std::string name;
  OrderedJson arguments;  ///< an object; null counts as no arguments
};

struct ChatMessage {
  Role role = Role::user;
  MessageContent content;
  std::string reasoning;                    ///< of an assistant
  std::vector<ChatToolCall> tool_calls;     ///< of an assistant
  std::optional<std::string> tool_call_id;  ///< of a tool's result: which call it answers
  std::optional<std::string> tool_name;     ///< of a tool's result: for results that answer no known call
};

/// A function that the model may call, as OpenAI's `function` object has it: name, description, and
/// parameters, a JSON schema.  Members that the chat format has no place for are left out by the renderer.
struct ToolDeclaration {
  OrderedJson function;
};

struct ChatOptions {
  bool thinking = false;
  bool add_generation_prompt = true;  ///< end with what makes the model answer
  std::vector<ToolDeclaration> tools;
  /// The answer is to be a call, of the tool with this name or, where it is empty, of any: the generation
  /// prompt begins it, without a thought.
  std::optional<std::string> forced_call;
};

/// A conversation as the model reads it.
struct ChatPrompt {
  std::vector<ChatPiece> pieces;
  AnswerStart answer;  ///< for the answer's parser
};

/// Renders a conversation as Google's published template does, byte for byte (model-spec 5.5, 5.6).  Throws
/// ChatError where the template raises, where there are no messages, where a forced call is of no declared
/// tool, and where Gemma 3, which has no markup for them, is given tools, tool calls or thinking.
ChatPrompt render_chat(ChatTemplate format, std::span<const ChatMessage> messages,
                       const ChatOptions& options);

}  // namespace tandem::model
