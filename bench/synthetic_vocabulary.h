#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/gguf_writer.h"
#include "model/hyperparameters.h"

namespace tandem::bench {

/// A made-up vocabulary laid out as Gemma's: control tokens, runs of newlines and spaces, byte tokens,
/// printable ASCII, then strings of two to four letters.
struct SyntheticVocabulary {
  std::vector<std::string> tokens;
  std::vector<float> scores;
  std::vector<std::int32_t> kinds;  ///< GGUF's token_type
  std::vector<std::string> merges;  ///< "left right", best first; Gemma 4 only
};

/// Fewest and most tokens that make_synthetic_vocabulary can make.
inline constexpr std::uint32_t kMinVocabulary = 600;
inline constexpr std::uint32_t kMaxVocabulary = 450'000;

/// `size` tokens.  For 262,144 of Gemma 4 there are 514,906 merges, as in the published files.
/// Throws Error if `size` is out of range.
SyntheticVocabulary make_synthetic_vocabulary(model::Family family, std::uint32_t size);

/// Writes tokenizer.* as converters of `family` do.
void write_synthetic_vocabulary(model::GgufWriter& writer, model::Family family,
                                const SyntheticVocabulary& vocabulary);

}  // namespace tandem::bench
