#include "model/detokenizer.h"

#include <utility>

#include "model/utf8.h"

namespace tandem::model {

std::string Detokenizer::push(TokenId token) {
  pending_ += tokenizer_->token_bytes(token);
  std::string text;
  std::string_view rest = pending_;
  while (!rest.empty()) {
    const auto front = utf8_front(rest);
    if (front.state == Utf8State::cut_off) break;
    text += front.state == Utf8State::whole ? rest.substr(0, front.bytes) : kReplacementCharacter;
    rest.remove_prefix(front.bytes);
  }
  pending_.erase(0, pending_.size() - rest.size());
  return text;
}

std::string Detokenizer::finish() {
  return std::exchange(pending_, {}).empty() ? std::string() : std::string(kReplacementCharacter);
}

}  // namespace tandem::model
