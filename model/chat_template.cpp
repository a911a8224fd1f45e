#include "model/chat_template.h"

#include <algorithm>
#include <array>
#include <span>

#include "model/sha256.h"

namespace tandem::model {
namespace {

struct Published {
  std::string_view hash;
  ChatTemplate rendering;
};

constexpr std::array<Published, 5> kPublished = {{
    {"8d9e3a3c114fb2053ec500184677af4f7e5f8ec2582443cd535834e68b3ade29", ChatTemplate::gemma3},
    {"1d35a24a2a63cc600c0cab43628a6df4cd3318e959b03307cf5f9f7e29ecf783", ChatTemplate::gemma4_r2},
    {"94899c0f917d93f6fe81c95744d1e8ddab2d21d39228d2e4aec1fb2a25bff413", ChatTemplate::gemma4_r3},
    {"6a1015c47ccfcfa67c3b772385bccee357a4d37c3cda37bd202e9047f391ab82", ChatTemplate::gemma4_r4},
    {"2af48814bacaf2a35a2d57aa19eee6c42ed530011977e8f414cf1d467da446c2", ChatTemplate::gemma4_r4},
}};

/// The newest template of the family that the vocabulary's turn markers name.
std::optional<ChatTemplate> newest_template(const Tokenizer& tokenizer) {
  if (tokenizer.find("<|turn>") && tokenizer.find("<turn|>")) return ChatTemplate::gemma4_r4;
  if (tokenizer.find("<start_of_turn>") && tokenizer.find("<end_of_turn>")) return ChatTemplate::gemma3;
  return std::nullopt;
}

}  // namespace

std::optional<ChatFormat> detect_chat_format(const Tokenizer& tokenizer, std::string_view file_template) {
  const auto newest = newest_template(tokenizer);
  if (!newest) return std::nullopt;
  const auto named = find_template(template_hash(file_template));
  const bool same_family = named && (*named == ChatTemplate::gemma3) == (*newest == ChatTemplate::gemma3);
  if (same_family) return ChatFormat{*named, true};
  return ChatFormat{*newest, false};
}

bool has_tools(ChatTemplate format) noexcept {
  return format != ChatTemplate::gemma3;
}

bool has_thinking(ChatTemplate format) noexcept {
  return format != ChatTemplate::gemma3;
}

std::string template_hash(std::string_view template_text) {
  const auto end = template_text.find_last_not_of('\n');
  const auto text = template_text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  return sha256_hex(std::as_bytes(std::span(text)));
}

std::optional<ChatTemplate> find_template(std::string_view hash) noexcept {
  const auto* found = std::ranges::find(kPublished, hash, &Published::hash);
  return found != kPublished.end() ? std::optional(found->rendering) : std::nullopt;
}

}  // namespace tandem::model
