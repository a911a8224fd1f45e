#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "tests/support/gguf_bytes.h"

namespace tandem::test_support {

/// A GGUF file that holds a vocabulary and nothing else, in memory.  Arrays may disagree: a test may get them
/// wrong.
struct VocabularyFile {
  enum Kind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

  std::string model = "gemma4";
  std::vector<std::string> texts;
  std::vector<std::int32_t> kinds;
  std::vector<float> scores;
  std::vector<std::string> merges;     ///< written for model gemma4 only
  std::vector<std::string> more_keys;  ///< made with key_u32 and its like

  /// Appends a token; its id is the number of tokens before it.
  VocabularyFile& add(std::string_view text, Kind kind = normal, float score = 0.0F) {
    texts.emplace_back(text);
    kinds.push_back(kind);
    scores.push_back(score);
    return *this;
  }

  /// Appends the 256 byte tokens.
  VocabularyFile& add_bytes() {
    constexpr std::string_view kDigits = "0123456789ABCDEF";
    for (std::size_t i = 0; i < 256; ++i) {
      add(std::string("<0x") + kDigits[i / 16] + kDigits[i % 16] + ">", byte);
    }
    return *this;
  }

  [[nodiscard]] model::Header header() const {
    GgufBytes file;
    file.keys = more_keys;
    file.keys.push_back(key_string("tokenizer.ggml.model", model));
    file.keys.push_back(key_array("tokenizer.ggml.tokens", 8, texts.size(), joined(texts)));
    file.keys.push_back(key_array("tokenizer.ggml.token_type", 5, kinds.size(), joined(kinds)));
    file.keys.push_back(key_array("tokenizer.ggml.scores", 6, scores.size(), joined(scores)));
    if (model == "gemma4") {
      file.keys.push_back(key_array("tokenizer.ggml.merges", 8, merges.size(), joined(merges)));
    }
    const auto bytes = std::make_shared<const std::string>(file.bytes());
    return model::parse_header("vocabulary.gguf", std::as_bytes(std::span(*bytes)), bytes);
  }

 private:
  static std::string joined(const std::vector<std::string>& strings) {
    std::string bytes;
    for (const auto& text : strings) bytes += gguf_string(text);
    return bytes;
  }
  template <typename T>
  static std::string joined(const std::vector<T>& numbers) {
    std::string bytes;
    for (const auto number : numbers) bytes += le(number);
    return bytes;
  }
};

}  // namespace tandem::test_support
