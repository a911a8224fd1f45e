#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tandem::model {

using TokenId = std::int32_t;

/// What look-ups of this room return where there is no token.
inline constexpr TokenId kNoToken = -1;

/// GGUF's token_type (model-spec 3.2).
enum class TokenKind : std::uint8_t {
  normal = 1,
  unknown = 2,
  control = 3,
  user_defined = 4,
  unused = 5,
  byte = 6
};

/// The tokens of a model: texts, kinds, the bytes they stand for, and the way back from text to id.  Texts
/// stay in the header's storage, which this keeps alive.  Immutable: any thread may read it.
class Vocabulary {
 public:
  /// Reads tokenizer.ggml.tokens and token_type.  Turn markers and their like count as control tokens however
  /// the file types them (model-spec 5.4).  Throws BadModel.
  explicit Vocabulary(const Header& header);
  Vocabulary(Vocabulary&&) noexcept = default;
  Vocabulary& operator=(Vocabulary&&) noexcept = default;
  Vocabulary(const Vocabulary&) = delete;  // bytes_ points into unescaped_
  Vocabulary& operator=(const Vocabulary&) = delete;
  ~Vocabulary() = default;

  [[nodiscard]] std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(texts_.size()); }
  /// Bytes of the longest text: no token stands for more.
  [[nodiscard]] std::size_t longest_bytes() const noexcept { return longest_bytes_; }
  [[nodiscard]] bool contains(TokenId id) const noexcept {
    return id >= 0 && static_cast<std::uint32_t>(id) < size();
  }

  /// The three below want an id that `contains` accepts.  The text is as the file has it.
  [[nodiscard]] std::string_view text(TokenId id) const noexcept {
    return texts_[static_cast<std::size_t>(id)];
  }
  [[nodiscard]] TokenKind kind(TokenId id) const noexcept { return kinds_[static_cast<std::size_t>(id)]; }
  /// What the token stands for in a text: spaces are spaces, byte tokens are bytes, control tokens nothing.
  [[nodiscard]] std::string_view bytes(TokenId id) const noexcept {
    return bytes_[static_cast<std::size_t>(id)];
  }

  /// The smallest id with this text, or kNoToken.
  [[nodiscard]] TokenId find(std::string_view text) const noexcept;

  /// As `find`, but only tokens that merging may produce: not control, unknown or byte tokens.
  [[nodiscard]] TokenId find_mergeable(std::string_view text) const noexcept;

  /// Appends the byte tokens of `bytes`; the unknown token where one is missing.
  void append_bytes(std::string_view bytes, std::vector<TokenId>& ids) const;

 private:
  struct Slot {
    std::uint32_t hash = 0;
    TokenId id = kNoToken;
  };

  void read_kinds(const Header& header);
  void find_byte_tokens(const Header& header);
  void write_bytes();
  void build_index();

  std::vector<std::string_view> texts_;
  std::vector<TokenKind> kinds_;
  std::vector<std::string_view> bytes_;
  std::vector<char> unescaped_;    ///< what bytes_ points to where a text has U+2581 for spaces
  std::vector<Slot> slots_;        ///< open addressing over the texts, a power of two
  std::size_t longest_bytes_ = 0;  ///< of the texts
  std::array<TokenId, 256> byte_tokens_{};
  TokenId unknown_ = kNoToken;
  std::shared_ptr<const void> storage_;
};

/// What both families write for a space inside a token.
inline constexpr std::string_view kSpaceMark = "\u2581";

/// `text` with every kSpaceMark turned into a space, and the reverse.
std::string unescape_spaces(std::string_view text);
std::string escape_spaces(std::string_view text);

}  // namespace tandem::model
