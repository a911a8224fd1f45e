#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "tests/backends/cpu_model.h"

namespace tandem::test_support {

/// Logits of `tokens`, one a step, after a prompt of the first `prompt_tok` of them in one chunk.
template <class Model>
std::vector<float> undrafted(Model& model, std::span<const std::int32_t> tokens, std::size_t prompt_tok) {
  const Chunk prompt{0, 0, tokens.first(prompt_tok)};
  auto all = model.step({&prompt, 1});
  for (std::size_t at = prompt_tok; at < tokens.size(); ++at) {
    const Chunk chunk{0, at, tokens.subspan(at, 1)};
    const auto logits = model.step({&chunk, 1});
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

/// The same of two sequences at once, of slots 0 and 1, which are the same tokens in other steps: each step
/// also computes up to `draft_rows` drafts a sequence, of which the first so many as `random` says are the
/// tokens that follow, and the next one is another.
class Drafted {
 public:
  Drafted(std::span<const std::int32_t> tokens, std::size_t prompt_tok, std::uint32_t draft_rows,
          std::uint32_t vocab, std::uint32_t seed)
      : tokens_(tokens), prompt_tok_(prompt_tok), draft_rows_(draft_rows), vocab_(vocab), random_(seed) {}

  /// Logits of each sequence, without those of drafts that were wrong.
  template <class Model>
  std::vector<std::vector<float>> run(Model& model) {
    std::vector<Sequence> sequences(2);
    std::vector<std::vector<float>> logits(sequences.size());
    while (std::ranges::any_of(sequences, [this](const auto& s) { return s.done < tokens_.size(); })) {
      std::vector<Chunk> chunks;
      std::vector<std::size_t> counted;  // rows of each that are no wrong drafts
      std::vector<std::size_t> of;
      for (std::size_t s = 0; s < sequences.size(); ++s) {
        if (sequences[s].done == tokens_.size() ||
            (random_() % 4 == 0 && sequences.size() > chunks.size() + 1))
          continue;
        of.push_back(s);
        counted.push_back(add(sequences[s], static_cast<std::uint32_t>(s), chunks));
      }
      if (chunks.empty()) continue;
      const auto made = model.step(chunks);
      auto at = made.begin();
      for (std::size_t i = 0; i < chunks.size(); ++i) {
        const auto row = [&](std::size_t n) { return at + static_cast<std::ptrdiff_t>(n * vocab_); };
        logits[of[i]].insert(logits[of[i]].end(), at, row(counted[i]));
        at = row(chunks[i].tokens.size());
      }
    }
    return logits;
  }

 private:
  struct Sequence {
    std::size_t done = 0;
    std::uint32_t accepted = 0;
    std::vector<std::int32_t> rows;
  };

  /// The sequence's part of a step; returns how many of its rows are right.
  std::size_t add(Sequence& sequence, std::uint32_t slot, std::vector<Chunk>& chunks) {
    const std::size_t certain = sequence.done == 0 ? prompt_tok_ : 1;
    const auto left = tokens_.size() - sequence.done - certain;
    const auto drafts = std::min<std::size_t>(random_() % (draft_rows_ + 1), left);
    const auto right = drafts == 0 ? 0 : random_() % (drafts + 1);
    const auto rows = tokens_.subspan(sequence.done, certain + drafts);
    sequence.rows.assign(rows.begin(), rows.end());
    for (std::size_t i = certain + right; i < rows.size(); ++i) {
      sequence.rows[i] = static_cast<std::int32_t>((rows[i] + 1 + random_() % (vocab_ - 1)) % vocab_);
    }
    chunks.push_back(
        {slot, sequence.done, sequence.rows, 0, static_cast<std::uint32_t>(drafts), sequence.accepted});
    sequence.done += certain + right;
    sequence.accepted = static_cast<std::uint32_t>(right);
    return certain + right;
  }

  std::span<const std::int32_t> tokens_;
  std::size_t prompt_tok_;
  std::uint32_t draft_rows_;
  std::uint32_t vocab_;
  std::mt19937 random_;
};

}  // namespace tandem::test_support
