#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/error.h"
#include "model/tokenizer.h"
#include "tests/support/vocabulary_file.h"

namespace tandem::model {

using test_support::VocabularyFile;
using Kind = VocabularyFile::Kind;

/// What BadModel says about the file.
inline std::string error_of(const VocabularyFile& file) {
  try {
    (void)Tokenizer::from_header(file.header());
  } catch (const BadModel& error) {
    return error.what();
  }
  return "no error";
}

/// a to c and what merges can make of them.
inline VocabularyFile small_rank_file() {
  VocabularyFile file;
  file.add("<bos>", Kind::control).add_bytes();
  for (const auto* text : {"a", "b", "c", "ab", "bc", "abc", "\n", "\n\n\n", "▁", "▁a"}) file.add(text);
  file.merges = {"b c", "a b", "ab c", "▁ a"};
  return file;
}

/// The letters a to c with scores -10 to -12.
inline VocabularyFile small_score_file() {
  VocabularyFile file;
  file.model = "llama";
  file.add("<bos>", Kind::control).add_bytes();
  return file.add("a", Kind::normal, -10).add("b", Kind::normal, -11).add("c", Kind::normal, -12);
}

/// Token texts of `text`.
inline std::vector<std::string> texts(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::string> out;
  for (const auto id : tokenizer.encode(text, SpecialText::parsed))
    out.emplace_back(tokenizer.token_text(id));
  return out;
}

}  // namespace tandem::model
