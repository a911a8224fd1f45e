#pragma once

#include <string>

#include "model/tokenizer.h"

namespace tandem::model {

/// Turns a stream of tokens into text piece by piece.  Never emits part of a character: bytes wait until the
/// character is whole, and bytes that can no longer become one come out as U+FFFD (one for each maximal
/// subpart).
class Detokenizer {
 public:
  explicit Detokenizer(const Tokenizer& tokenizer) : tokenizer_(&tokenizer) {}

  /// Appends what is complete after `token` (may be nothing) to `text`, which alone may have to grow.
  void push(TokenId token, std::string& text);
  std::string push(TokenId token);  ///< by itself
  /// What still waits, at the end of the stream.
  std::string finish();

 private:
  const Tokenizer* tokenizer_;
  std::string pending_;  ///< the beginning of a character, at most 3 bytes between calls, 4 within
};

}  // namespace tandem::model
