#include "model/chat_gemma.h"
#include "model/python_text.h"

namespace tandem::model {
namespace {

void refuse_what_has_no_markup(std::span<const ChatMessage> messages, const ChatOptions& options) {
  constexpr const char* kHint = "Gemma 4 models have tools and thinking.";
  if (!options.tools.empty()) throw ChatError("Gemma 3's chat format has no place for tools", kHint);
  if (options.thinking) throw ChatError("Gemma 3's chat format has no place for thinking", kHint);
  for (std::size_t i = 0; i < messages.size(); ++i) {
    if (!messages[i].tool_calls.empty()) {
      throw ChatError(describe(messages, i) + ": Gemma 3's chat format has no place for tool calls", kHint);
    }
  }
}

/// What the first turn begins with.  Of a list of parts the template takes the first only.
std::string system_prefix(const ChatMessage& message) {
  if (const auto* text = std::get_if<std::string>(&message.content)) return *text + "\n\n";
  const auto* parts = std::get_if<std::vector<std::string>>(&message.content);
  if (parts == nullptr || parts->empty()) throw ChatError("message 1 (system): has no text");
  return parts->front() + "\n\n";
}

std::string trimmed_content(std::span<const ChatMessage> messages, std::size_t index) {
  const auto& content = messages[index].content;
  if (const auto* text = std::get_if<std::string>(&content)) return std::string(python_strip(*text));
  const auto* parts = std::get_if<std::vector<std::string>>(&content);
  if (parts == nullptr) throw ChatError(describe(messages, index) + ": has no content");
  std::string joined;
  for (const auto& part : *parts) joined += python_strip(part);
  return joined;
}

}  // namespace

ChatPrompt render_gemma3(std::span<const ChatMessage> messages, const ChatOptions& options) {
  refuse_what_has_no_markup(messages, options);
  PieceWriter out;
  out.control("<bos>");
  const bool has_system = messages.front().role == Role::system;
  auto prefix = has_system ? system_prefix(messages.front()) : std::string();
  const std::size_t first = has_system ? 1 : 0;
  for (auto i = first; i < messages.size(); ++i) {
    const auto role = messages[i].role;
    if ((role == Role::user) != ((i - first) % 2 == 0)) {
      throw ChatError(describe(messages, i) + ": user and assistant must take turns, user first",
                      "Merge messages of the same role.");
    }
    out.control("<start_of_turn>");
    out.plain(role == Role::assistant ? "model" : name_of(role));
    out.plain("\n" + prefix + trimmed_content(messages, i));
    out.control("<end_of_turn>");
    out.plain("\n");
    prefix.clear();
  }
  if (options.add_generation_prompt) {
    out.control("<start_of_turn>");
    out.plain("model\n");
  }
  return {out.take(), {}};
}

}  // namespace tandem::model
