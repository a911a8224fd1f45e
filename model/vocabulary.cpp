#include "model/vocabulary.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <limits>
#include <optional>

#include "model/error.h"

namespace tandem::model {
namespace {

constexpr std::string_view kTokensKey = "tokenizer.ggml.tokens";
constexpr std::string_view kKindsKey = "tokenizer.ggml.token_type";

/// Control tokens by name: some files type them as text.
constexpr std::array<std::string_view, 9> kControlTexts = {
    "<pad>",          "<eos>",   "<bos>",  "<start_of_turn>", "<end_of_turn>", "<start_of_image>",
    "<end_of_image>", "<|turn>", "<turn|>"};

/// Every byte once, for views of one byte.
constexpr auto kEveryByte = [] {
  std::array<char, 256> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i);
  return bytes;
}();

int hex_digit(char c) noexcept {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

/// The byte that a token text like "<0x0A>" stands for.
std::optional<std::uint8_t> byte_of(std::string_view text) noexcept {
  if (text.size() != 6 || !text.starts_with("<0x") || text[5] != '>') return std::nullopt;
  const int high = hex_digit(text[3]);
  const int low = hex_digit(text[4]);
  if (high < 0 || low < 0) return std::nullopt;
  return static_cast<std::uint8_t>(high * 16 + low);
}

std::uint32_t hash_of(std::string_view text) noexcept {
  return static_cast<std::uint32_t>(std::hash<std::string_view>{}(text));
}

[[noreturn]] void fail(const Header& header, std::string_view key, const std::string& problem) {
  const auto* entry = header.find(key);
  throw BadModel(header.name, entry == nullptr ? 0 : entry->offset_bytes, std::string(key), problem);
}

TokenKind checked_kind(const Header& header, std::int64_t value, std::size_t id) {
  if (value == 0) return TokenKind::normal;  // "undefined"
  if (value < 1 || value > 6) {
    fail(header, kKindsKey,
         "token " + std::to_string(id) + " is of type " + std::to_string(value) + ", limits are 1 and 6");
  }
  return static_cast<TokenKind>(value);
}

bool merging_may_produce(TokenKind kind) noexcept {
  return kind == TokenKind::normal || kind == TokenKind::user_defined || kind == TokenKind::unused;
}

std::string replace_all(std::string_view text, std::string_view from, std::string_view to) {
  std::string out;
  out.reserve(text.size());
  while (true) {
    const auto at = text.find(from);
    out += text.substr(0, at);
    if (at == std::string_view::npos) return out;
    out += to;
    text.remove_prefix(at + from.size());
  }
}

}  // namespace

Vocabulary::Vocabulary(const Header& header) : storage_(header.storage) {
  auto texts = header.find_strings(kTokensKey);
  if (!texts || texts->empty()) fail(header, kTokensKey, "there is no vocabulary in the file");
  if (texts->size() > static_cast<std::size_t>(std::numeric_limits<TokenId>::max())) {
    fail(header, kTokensKey, std::to_string(texts->size()) + " tokens, limit is 2147483647");
  }
  texts_ = std::move(*texts);
  read_kinds(header);
  find_byte_tokens(header);
  write_bytes();
  build_index();
}

void Vocabulary::read_kinds(const Header& header) {
  const auto stored = header.find_integers(kKindsKey);
  if (stored && stored->size() != texts_.size()) {
    fail(header, kKindsKey,
         std::to_string(stored->size()) + " types for " + std::to_string(texts_.size()) + " tokens");
  }
  kinds_.assign(texts_.size(), TokenKind::normal);
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    if (stored) kinds_[id] = checked_kind(header, (*stored)[id], id);
    if (std::ranges::find(kControlTexts, texts_[id]) != kControlTexts.end()) kinds_[id] = TokenKind::control;
    if (kinds_[id] == TokenKind::normal && byte_of(texts_[id])) kinds_[id] = TokenKind::byte;
  }
}

void Vocabulary::find_byte_tokens(const Header& header) {
  byte_tokens_.fill(kNoToken);
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    if (kinds_[id] == TokenKind::unknown && unknown_ == kNoToken) unknown_ = static_cast<TokenId>(id);
    if (kinds_[id] != TokenKind::byte) continue;
    const auto byte = byte_of(texts_[id]);
    if (!byte)
      fail(header, kTokensKey, "token " + std::to_string(id) + " is a byte token, but not like <0x0A>");
    if (byte_tokens_[*byte] == kNoToken) byte_tokens_[*byte] = static_cast<TokenId>(id);
  }
  if (unknown_ == kNoToken && std::ranges::find(byte_tokens_, kNoToken) != byte_tokens_.end()) {
    fail(header, kTokensKey, "neither all 256 byte tokens nor an unknown token are in the vocabulary");
  }
}

void Vocabulary::write_bytes() {
  std::size_t escaped_bytes = 0;
  for (const auto text : texts_) {
    if (text.find(kSpaceMark) != std::string_view::npos) escaped_bytes += text.size();
  }
  unescaped_.reserve(escaped_bytes);
  bytes_.assign(texts_.size(), {});
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    if (kinds_[id] == TokenKind::control || kinds_[id] == TokenKind::unknown) continue;
    if (kinds_[id] == TokenKind::byte) {
      bytes_[id] = {&kEveryByte[*byte_of(texts_[id])], 1};
    } else if (texts_[id].find(kSpaceMark) == std::string_view::npos) {
      bytes_[id] = texts_[id];
    } else {
      const auto text = unescape_spaces(texts_[id]);
      bytes_[id] = {unescaped_.data() + unescaped_.size(), text.size()};
      unescaped_.insert(unescaped_.end(), text.begin(), text.end());
    }
  }
}

void Vocabulary::build_index() {
  slots_.assign(std::bit_ceil(texts_.size() * 2), {});
  for (std::size_t id = 0; id < texts_.size(); ++id) {
    longest_bytes_ = std::max(longest_bytes_, texts_[id].size());
    if (find(texts_[id]) != kNoToken) continue;
    const auto hash = hash_of(texts_[id]);
    auto at = hash & (slots_.size() - 1);
    while (slots_[at].id != kNoToken) at = (at + 1) & (slots_.size() - 1);
    slots_[at] = {hash, static_cast<TokenId>(id)};
  }
}

TokenId Vocabulary::find(std::string_view text) const noexcept {
  if (text.size() > longest_bytes_) return kNoToken;
  const auto hash = hash_of(text);
  for (auto at = hash & (slots_.size() - 1);; at = (at + 1) & (slots_.size() - 1)) {
    const auto slot = slots_[at];
    if (slot.id == kNoToken) return kNoToken;
    if (slot.hash == hash && texts_[static_cast<std::size_t>(slot.id)] == text) return slot.id;
  }
}

TokenId Vocabulary::find_mergeable(std::string_view text) const noexcept {
  const auto id = find(text);
  return id != kNoToken && merging_may_produce(kind(id)) ? id : kNoToken;
}

void Vocabulary::append_bytes(std::string_view bytes, std::vector<TokenId>& ids) const {
  for (const char byte : bytes) {
    const auto id = byte_tokens_[static_cast<std::uint8_t>(byte)];
    ids.push_back(id != kNoToken ? id : unknown_);
  }
}

std::string unescape_spaces(std::string_view text) {
  return replace_all(text, kSpaceMark, " ");
}

std::string escape_spaces(std::string_view text) {
  return replace_all(text, " ", kSpaceMark);
}

}  // namespace tandem::model
