#include "bench/synthetic_vocabulary.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>

#include "model/error.h"

namespace tandem::bench {
namespace {

using model::Family;

constexpr std::string_view kSpace = "\u2581";
constexpr std::size_t kMaxMerges = 514'906;
constexpr std::size_t kMaxRun = 31;

enum Kind : std::int32_t { normal = 1, unknown = 2, control = 3, user_defined = 4, byte = 6 };

struct NamedToken {
  std::size_t id;
  std::string_view text;
  Kind kind;
};

constexpr std::array kGemma3Tokens{
    NamedToken{105, "<start_of_turn>", control},
    NamedToken{106, "<end_of_turn>", control},
};
constexpr std::array kGemma4Tokens{
    NamedToken{46, "<|tool>", control},
    NamedToken{47, "<tool|>", control},
    NamedToken{48, "<|tool_call>", user_defined},
    NamedToken{49, "<tool_call|>", user_defined},
    NamedToken{50, "<|tool_response>", user_defined},
    NamedToken{51, "<tool_response|>", user_defined},
    NamedToken{52, "<|\"|>", user_defined},
    NamedToken{98, "<|think|>", control},
    NamedToken{100, "<|channel>", user_defined},
    NamedToken{101, "<channel|>", user_defined},
    NamedToken{105, "<|turn>", control},
    NamedToken{106, "<turn|>", control},
};

std::string repeated(std::string_view text, std::size_t times) {
  std::string run;
  for (std::size_t i = 0; i < times; ++i) run += text;
  return run;
}

class Builder {
 public:
  Builder(Family family, std::uint32_t size) : family_(family), size_(size) {
    vocabulary_.tokens.reserve(size);
    vocabulary_.kinds.reserve(size);
  }

  SyntheticVocabulary build() {
    add_control_tokens();
    add_runs();
    add_bytes();
    add_characters();
    add_words();
    for (std::size_t i = 0; i < size_; ++i) {
      // Gemma 4's converter writes one placeholder for all.
      vocabulary_.scores.push_back(family_ == Family::gemma4 ? -1000.0f : -static_cast<float>(i));
    }
    if (family_ == Family::gemma4) add_merges();
    return std::move(vocabulary_);
  }

 private:
  void add(std::string text, Kind kind) {
    vocabulary_.tokens.push_back(std::move(text));
    vocabulary_.kinds.push_back(kind);
  }

  void add_control_tokens() {
    constexpr std::size_t kControlTokens = 107;
    for (const std::string_view text : {"<pad>", "<eos>", "<bos>"}) add(std::string(text), control);
    add("<unk>", unknown);
    add("<mask>", control);
    while (vocabulary_.tokens.size() < kControlTokens) {
      add("<unused" + std::to_string(vocabulary_.tokens.size() - 5) + ">", control);
    }
    const auto name = [&](const NamedToken& token) {
      vocabulary_.tokens[token.id] = token.text;
      vocabulary_.kinds[token.id] = token.kind;
    };
    if (family_ == Family::gemma3) std::for_each(kGemma3Tokens.begin(), kGemma3Tokens.end(), name);
    if (family_ == Family::gemma4) std::for_each(kGemma4Tokens.begin(), kGemma4Tokens.end(), name);
  }

  /// Gemma 3 has runs as user-defined tokens, spaces as they are; Gemma 4 as normal ones.
  void add_runs() {
    const bool gemma3 = family_ == Family::gemma3;
    for (std::size_t n = 1; n <= kMaxRun; ++n) add(repeated("\n", n), gemma3 ? user_defined : normal);
    for (std::size_t n = 2; n <= kMaxRun; ++n) {
      add(repeated(gemma3 ? " " : kSpace, n), gemma3 ? user_defined : normal);
    }
  }

  void add_bytes() {
    constexpr std::string_view kHex = "0123456789ABCDEF";
    for (std::size_t value = 0; value < 256; ++value) {
      add(std::string("<0x") + kHex[value / 16] + kHex[value % 16] + ">", byte);
    }
  }

  void add_characters() {
    add(std::string(kSpace), normal);
    for (char c = '!'; c <= '~'; ++c) add(std::string(1, c), normal);
  }

  /// Strings of n letters, the first of which may be a space: all of two, all of three, then of four.  Within
  /// a length they come in a scattered order, so that a vocabulary of any size has every initial.
  void add_words() {
    for (std::size_t letters = 2; letters <= 4; ++letters) {
      std::size_t words = 27;
      for (std::size_t i = 1; i < letters; ++i) words *= 26;
      constexpr std::size_t kStride = 274'177;  // a prime that divides no count of words
      for (std::size_t i = 0; i < words && vocabulary_.tokens.size() < size_; ++i) {
        add(word(i * kStride % words, letters), normal);
      }
    }
  }

  static std::string word(std::size_t index, std::size_t letters) {
    std::string tail;
    for (std::size_t i = 1; i < letters; ++i, index /= 26) tail += static_cast<char>('a' + index % 26);
    return (index == 26 ? std::string(kSpace) : std::string(1, static_cast<char>('a' + index))) + tail;
  }

  /// Every way of making a token of two others, short tokens first.
  void add_merges() {
    const std::unordered_set<std::string_view> known(vocabulary_.tokens.begin(), vocabulary_.tokens.end());
    for (std::size_t id = 0; id < vocabulary_.tokens.size(); ++id) {
      const auto& token = vocabulary_.tokens[id];
      if (vocabulary_.kinds[id] != normal || token[0] == '\n') continue;
      for (std::size_t at = 1; at < token.size() && vocabulary_.merges.size() < kMaxMerges; ++at) {
        const bool inside_a_character = (static_cast<unsigned char>(token[at]) & 0xc0) == 0x80;
        if (inside_a_character) continue;
        const auto left = token.substr(0, at);
        const auto right = token.substr(at);
        if (known.contains(left) && known.contains(right)) vocabulary_.merges.push_back(left + ' ' + right);
      }
    }
  }

  Family family_;
  std::uint32_t size_;
  SyntheticVocabulary vocabulary_;
};

}  // namespace

SyntheticVocabulary make_synthetic_vocabulary(Family family, std::uint32_t size) {
  if (size < kMinVocabulary || size > kMaxVocabulary) {
    throw Error("a made-up vocabulary of " + std::to_string(size) + " tokens, limits are " +
                std::to_string(kMinVocabulary) + " and " + std::to_string(kMaxVocabulary));
  }
  return Builder(family, size).build();
}

void write_synthetic_vocabulary(model::GgufWriter& writer, Family family,
                                const SyntheticVocabulary& vocabulary) {
  const bool gemma4 = family == Family::gemma4;
  writer.add_string("tokenizer.ggml.model", gemma4 ? "gemma4" : "llama");
  if (!gemma4) writer.add_string("tokenizer.ggml.pre", "default");
  writer.add_strings("tokenizer.ggml.tokens", vocabulary.tokens);
  writer.add_floats("tokenizer.ggml.scores", vocabulary.scores);
  writer.add_ints("tokenizer.ggml.token_type", vocabulary.kinds);
  if (gemma4) writer.add_strings("tokenizer.ggml.merges", vocabulary.merges);
  writer.add_uint("tokenizer.ggml.bos_token_id", 2);
  writer.add_uint("tokenizer.ggml.eos_token_id", 1);
  writer.add_uint("tokenizer.ggml.unknown_token_id", 3);
  writer.add_uint("tokenizer.ggml.padding_token_id", 0);
  writer.add_uint("tokenizer.ggml.mask_token_id", 4);
  writer.add_bool("tokenizer.ggml.add_bos_token", true);
  writer.add_bool("tokenizer.ggml.add_eos_token", false);
  writer.add_bool("tokenizer.ggml.add_space_prefix", false);
}

}  // namespace tandem::bench
