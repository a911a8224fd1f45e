#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "model/tokenizer.h"

namespace tandem::model {

/// The published templates that Tandem renders byte for byte.  A file's own template is never executed: its
/// hash says which of these it is.
enum class ChatTemplate {
  gemma3,     ///< of google/gemma-3-4b-it, -12b-it, -27b-it
  gemma4_r2,  ///< of google/gemma-4-31B-it, since 10 April 2026
  gemma4_r3,  ///< since the end of April 2026: properties may be named "type" or "description"
  gemma4_r4   ///< since 9 July 2026, also of the 12B: null, thoughts before the last call, closed turns
};

/// How to talk to a model.
struct ChatFormat {
  ChatTemplate rendering = ChatTemplate::gemma3;
  bool template_known = false;  ///< false: the file's template is none of the above, the newest one stands in

  bool operator==(const ChatFormat&) const = default;
};

/// Chooses the family by the turn markers in the vocabulary and the revision by the file's template
/// (tokenizer.chat_template, empty if there is none).  Nothing where the vocabulary has no turn markers: such
/// a model completes texts, but there is no way to chat with it.
std::optional<ChatFormat> detect_chat_format(const Tokenizer& tokenizer, std::string_view file_template);

/// What a format has markup for.
bool has_tools(ChatTemplate format) noexcept;
bool has_thinking(ChatTemplate format) noexcept;

/// SHA-256 of a template in lower-case hex.  Newlines at its end do not count: converters drop them.
std::string template_hash(std::string_view template_text);

/// The published template with this hash.
std::optional<ChatTemplate> find_template(std::string_view hash) noexcept;

}  // namespace tandem::model
