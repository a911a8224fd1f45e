#pragma once

#include <string>
#include <string_view>

namespace tandem::cli {

/// One user turn as a chat model expects it.  `before` and `after` hold markers, which are control tokens;
/// `text` is the user's, in which nothing is.
struct ChatTurn {
  std::string before;
  std::string text;  ///< trimmed
  std::string after;
};

/// `markers` is what GET /v1/models reports as "chat": gemma3 or gemma4 (model-spec 5.5; 5.6 with thinking
/// off, as the 12B and 31B templates have it).  Throws Error for any other.
ChatTurn chat_turn(std::string_view markers, std::string_view text);

}  // namespace tandem::cli
