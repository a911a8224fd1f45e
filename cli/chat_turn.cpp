#include "cli/chat_turn.h"

#include "model/error.h"

namespace tandem::cli {

namespace {

std::string trimmed(std::string_view text) {
  constexpr const char* kSpace = " \t\n\r\f\v";
  const auto first = text.find_first_not_of(kSpace);
  if (first == std::string_view::npos) return {};
  return std::string(text.substr(first, text.find_last_not_of(kSpace) - first + 1));
}

}  // namespace

ChatTurn chat_turn(std::string_view markers, std::string_view text) {
  if (markers == "gemma3") {
    return {"<start_of_turn>user\n", trimmed(text), "<end_of_turn>\n<start_of_turn>model\n"};
  }
  if (markers == "gemma4") {
    // The empty thought says that thinking is off.
    return {"<|turn>user\n", trimmed(text), "<turn|>\n<|turn>model\n<|channel>thought\n<channel|>"};
  }
  throw Error("the loaded model has no chat turns that Tandem knows",
              "leave out --chat to continue the plain text");
}

}  // namespace tandem::cli
