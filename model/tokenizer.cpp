#include "model/tokenizer.h"

#include <algorithm>
#include <array>
#include <string>

#include "model/byte_reader.h"
#include "model/error.h"
#include "model/rank_tokenizer.h"
#include "model/score_tokenizer.h"

namespace tandem::model {
namespace {

/// Which algorithm the file's tokenizer.ggml.model and .pre name.
enum class Scheme { by_score, by_rank };

/// model-spec 5.4; the text is what counts, the file's ids only add to it.
constexpr std::array<std::string_view, 4> kEndTexts = {"<eos>", "<end_of_turn>", "<turn|>",
                                                       "<|tool_response>"};
constexpr std::string_view kNeverEnds = "</s>";  // an HTML tag, which some files name as their end token

/// What Gemma 4 12B leaks where its file does not list tokens to suppress (model-spec trap 13).
constexpr std::array<std::string_view, 7> kMediaTexts = {"<|image>", "<|audio>", "<|image|>", "<|audio|>",
                                                         "<image|>", "<audio|>", "<|video|>"};

Scheme scheme_of(const Header& header) {
  constexpr std::string_view kModelKey = "tokenizer.ggml.model";
  const auto model = header.find_string(kModelKey);
  if (!model) throw BadModel(header.name, 0, std::string(kModelKey), "the file holds no tokenizer");
  if (model == "gemma4") return Scheme::by_rank;
  if (model == "llama") {
    return header.find_string("tokenizer.ggml.pre") == "gemma4" ? Scheme::by_rank : Scheme::by_score;
  }
  throw UnsupportedModel(header.name + ": " + std::string(kModelKey) + " is \"" + printable(*model) + "\"",
                         "Tandem knows the tokenizers of Gemma 3 (\"llama\") and Gemma 4 (\"gemma4\").");
}

/// The token id stored under `key`, if there is one that the vocabulary has.
std::optional<TokenId> stored_id(const Header& header, std::string_view key, const Vocabulary& vocabulary) {
  const auto id = header.find_uint(key);
  if (!id || *id >= vocabulary.size()) return std::nullopt;
  return static_cast<TokenId>(*id);
}

std::vector<TokenId> stored_ids(const Header& header, std::string_view key, const Vocabulary& vocabulary) {
  std::vector<TokenId> ids;
  for (const auto id : header.find_integers(key).value_or(std::vector<std::int64_t>{})) {
    if (id >= 0 && id < vocabulary.size()) ids.push_back(static_cast<TokenId>(id));
  }
  return ids;
}

void append_named(std::span<const std::string_view> texts, const Vocabulary& vocabulary,
                  std::vector<TokenId>& ids) {
  for (const auto text : texts) {
    if (const auto id = vocabulary.find(text); id != kNoToken) ids.push_back(id);
  }
}

void sort_unique(std::vector<TokenId>& ids) {
  std::ranges::sort(ids);
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

std::optional<TokenId> bos_of(const Header& header, const Vocabulary& vocabulary) {
  if (const auto id = stored_id(header, "tokenizer.ggml.bos_token_id", vocabulary)) return id;
  const auto named = vocabulary.find("<bos>");
  return named != kNoToken ? std::optional(named) : std::nullopt;
}

std::vector<TokenId> ends_of(const Header& header, const Vocabulary& vocabulary) {
  auto ids = stored_ids(header, "tokenizer.ggml.eos_token_ids", vocabulary);
  for (const auto* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id"}) {
    if (const auto id = stored_id(header, key, vocabulary)) ids.push_back(*id);
  }
  std::erase_if(ids, [&](TokenId id) { return vocabulary.text(id) == kNeverEnds; });
  append_named(kEndTexts, vocabulary, ids);
  sort_unique(ids);
  return ids;
}

std::vector<TokenId> suppressed_of(const Header& header, const Vocabulary& vocabulary, Scheme scheme) {
  constexpr std::string_view kKey = "tokenizer.ggml.suppress_tokens";
  auto ids = stored_ids(header, kKey, vocabulary);
  if (header.find(kKey) == nullptr && scheme == Scheme::by_rank) append_named(kMediaTexts, vocabulary, ids);
  sort_unique(ids);
  return ids;
}

TokenRoles roles_of(const Header& header, const Vocabulary& vocabulary, Scheme scheme) {
  TokenRoles roles;
  roles.bos = bos_of(header, vocabulary);
  // Older Gemma 4 files say false, and without BOS the model is lost.
  const bool wanted =
      scheme == Scheme::by_rank || header.find_bool("tokenizer.ggml.add_bos_token").value_or(true);
  roles.adds_bos = wanted && roles.bos.has_value();
  roles.ends_generation = ends_of(header, vocabulary);
  roles.suppressed = suppressed_of(header, vocabulary, scheme);
  return roles;
}

SpecialMatcher matcher_of(const Vocabulary& vocabulary, std::initializer_list<TokenKind> kinds) {
  std::vector<SpecialMatcher::Token> tokens;
  for (TokenId id = 0; vocabulary.contains(id); ++id) {
    if (std::ranges::find(kinds, vocabulary.kind(id)) == kinds.end()) continue;
    // User-defined texts are matched as they appear in a text, spaces as spaces.
    const bool literal = vocabulary.kind(id) == TokenKind::user_defined;
    tokens.push_back({literal ? vocabulary.bytes(id) : vocabulary.text(id), id});
  }
  return SpecialMatcher(std::move(tokens));
}

}  // namespace

std::unique_ptr<Tokenizer> Tokenizer::from_header(const Header& header) {
  const auto scheme = scheme_of(header);
  Vocabulary vocabulary(header);
  auto roles = roles_of(header, vocabulary, scheme);
  if (scheme == Scheme::by_rank) {
    return std::make_unique<RankTokenizer>(header, std::move(vocabulary), std::move(roles));
  }
  return std::make_unique<ScoreTokenizer>(header, std::move(vocabulary), std::move(roles));
}

Tokenizer::Tokenizer(Vocabulary vocabulary, TokenRoles roles)
    : vocabulary_(std::move(vocabulary)),
      roles_(std::move(roles)),
      user_defined_(matcher_of(vocabulary_, {TokenKind::user_defined})),
      all_special_(
          matcher_of(vocabulary_, {TokenKind::user_defined, TokenKind::control, TokenKind::unknown})) {}

std::vector<TokenId> Tokenizer::encode(std::string_view text, SpecialText special) const {
  if (text.size() > kMaxTextBytes) {
    throw Error("a text of " + std::to_string(text.size()) + " bytes, limit is " +
                std::to_string(kMaxTextBytes));
  }
  const auto& matcher = special == SpecialText::parsed ? all_special_ : user_defined_;
  const auto spaced = unescape_spaces(text);  // a literal kSpaceMark is a space, as SentencePiece has it
  const std::string_view rest = spaced;
  std::vector<TokenId> ids;
  std::size_t done = 0;
  for (const auto& match : matcher.find_all(rest)) {
    encode_fragment(escape_spaces(rest.substr(done, match.begin - done)), ids);
    ids.push_back(match.token);
    done = match.begin + match.bytes;
  }
  encode_fragment(escape_spaces(rest.substr(done)), ids);
  return ids;
}

std::vector<TokenId> Tokenizer::encode_prompt(std::string_view text, SpecialText special) const {
  auto ids = encode(text, special);
  const bool has_bos = !ids.empty() && bos() == ids.front();
  if (adds_bos() && !has_bos) ids.insert(ids.begin(), *bos());
  return ids;
}

std::string_view Tokenizer::token_bytes(TokenId id) const noexcept {
  return vocabulary_.contains(id) ? vocabulary_.bytes(id) : std::string_view();
}

std::string_view Tokenizer::token_text(TokenId id) const noexcept {
  return vocabulary_.contains(id) ? vocabulary_.text(id) : std::string_view();
}

std::optional<TokenId> Tokenizer::find(std::string_view token_text) const noexcept {
  const auto id = vocabulary_.find(token_text);
  return id != kNoToken ? std::optional(id) : std::nullopt;
}

TokenKind Tokenizer::kind(TokenId id) const noexcept {
  return vocabulary_.contains(id) ? vocabulary_.kind(id) : TokenKind::unknown;
}

bool Tokenizer::ends_generation(TokenId id) const noexcept {
  return std::ranges::binary_search(roles_.ends_generation, id);
}

}  // namespace tandem::model
