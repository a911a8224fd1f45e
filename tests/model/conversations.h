#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "model/chat.h"

namespace tandem::test_support {

/// One of the committed conversations (tests/reference/README.md).
struct Conversation {
  std::string name;
  std::vector<std::string> about;
  std::vector<model::ChatMessage> messages;
  model::ChatOptions options;

  [[nodiscard]] bool needs_tools_or_thinking() const;
};

/// All of them, in file order.
std::vector<Conversation> load_conversations();

/// What published templates make of them: an array of {sha256, sha256_without_newlines_at_end, renders}.
nlohmann::json load_renders();

}  // namespace tandem::test_support
