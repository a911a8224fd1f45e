#include "model/detokenizer.h"

#include <utility>

#include "model/utf8.h"

namespace tandem::model {

void Detokenizer::push(TokenId token, std::string& text) {
  for (const char byte : tokenizer_->token_bytes(token)) {
    pending_ += byte;
    while (!pending_.empty()) {
      const auto front = utf8_front(pending_);
      if (front.state == Utf8State::cut_off) break;
      if (front.state == Utf8State::whole) {
        text.append(pending_, 0, front.bytes);
      } else {
        text += kReplacementCharacter;
      }
      pending_.erase(0, front.bytes);
    }
  }
}

std::string Detokenizer::push(TokenId token) {
  std::string text;
  push(token, text);
  return text;
}

std::string Detokenizer::finish() {
  return std::exchange(pending_, {}).empty() ? std::string() : std::string(kReplacementCharacter);
}

}  // namespace tandem::model
