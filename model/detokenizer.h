#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/tokenizer.h"

namespace tandem::model {

/// Turns a stream of tokens into text piece by piece.  Never emits part of a character: bytes wait until the
/// character is whole, and bytes that can no longer become one come out as U+FFFD (one for each maximal
/// subpart).
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// Text that is complete after `token` (may be empty).
  std::string push(TokenId token);
  /// What still waits, at the end of the stream.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;
};

/// Finds stop strings in a stream of text, also across pieces: text that might begin a stop string is held
/// back.
class StopMatcher {
 public:
  explicit StopMatcher(std::vector<std::string> stops) : stops_(std::move(stops)) {}

  /// Appends `piece`; returns text safe to emit.  After `stopped()`, nothing more is emitted; the stop string
  /// and what follows it are dropped.
  std::string push(std::string_view piece);
  /// What was held back, once the stream ended without a stop string.
  std::string finish();
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }

 private:
  std::vector<std::string> stops_;
  std::string held_;
  bool stopped_ = false;
};

}  // namespace tandem::model
