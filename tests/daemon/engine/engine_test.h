#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/engine/engine.h"
#include "model/detokenizer.h"
#include "model/gguf.h"
#include "tests/daemon/engine/history_executor.h"
#include "tests/daemon/engine/recording_sink.h"
#include "tests/support/fixture.h"

namespace tandem::engine {

using Tokens = std::vector<model::TokenId>;

inline constexpr scheduler::Limits kLimits{.sequences = 3,
                                           .micro_batch = 16,
                                           .logit_rows = 8,
                                           .max_seq_len = 64,
                                           .page_tok = 8,
                                           .pages = 24,
                                           .max_queued = 256};

/// An engine that serves a model made up by HistoryExecutor.
class EngineTest : public testing::Test {
 protected:
  /// A prompt of `length` tokens that differs with `seed`.
  static Tokens make_prompt(std::size_t length, int seed) {
    Tokens prompt(length);
    for (std::size_t i = 0; i < length; ++i) {
      prompt[i] = static_cast<model::TokenId>(5 + (i * 7 + static_cast<std::size_t>(seed) * 31) % 250);
    }
    return prompt;
  }

  static EngineRequest greedy(Tokens prompt, std::uint64_t max_new_tok) {
    EngineRequest request;
    request.prompt = std::move(prompt);
    request.max_new_tok = max_new_tok;
    request.sampling.temperature = 0;
    return request;
  }

  /// What greedy decoding of `prompt` gives, computed here.
  Tokens expected_tokens(Tokens history, std::uint64_t max_new_tok) const {
    Tokens chosen;
    while (chosen.size() < max_new_tok && history.size() <= kLimits.max_seq_len) {
      auto logits = history_logits(history, tokenizer_->size());
      for (const auto token : tokenizer_->suppressed()) logits[static_cast<std::size_t>(token)] = -100.0F;
      const auto best = std::ranges::max_element(logits) - logits.begin();
      chosen.push_back(static_cast<model::TokenId>(best));
      history.push_back(chosen.back());
      if (tokenizer_->ends_generation(chosen.back())) break;
    }
    return chosen;
  }

  std::string text_of(const Tokens& tokens) const {
    model::Detokenizer detokenizer(*tokenizer_);
    std::string text;
    for (const auto token : tokens) {
      if (!tokenizer_->ends_generation(token)) text += detokenizer.push(token);
    }
    return text + detokenizer.finish();
  }

  std::shared_ptr<RecordingSink> submit(EngineRequest request) {
    auto sink = std::make_shared<RecordingSink>();
    last_id_ = engine_.submit(std::move(request), sink);
    return sink;
  }

  /// Nothing is queued or running, and no slot or page is taken.
  void expect_all_free() {
    ASSERT_TRUE(engine_.wait_idle(std::chrono::seconds(60)));
    const auto stats = engine_.stats();
    EXPECT_EQ(stats.queued, 0U);
    EXPECT_EQ(stats.running, 0U);
    EXPECT_EQ(stats.free_pages, kLimits.pages);
    EXPECT_TRUE(engine_.requests().empty());
    EXPECT_EQ(stats.submitted,
              stats.finished_stop + stats.finished_length + stats.finished_cancelled + stats.finished_error);
  }

  const std::unique_ptr<model::Tokenizer> tokenizer_ =
      model::Tokenizer::from_header(model::read_header(test_support::reference_path("gemma4_4l.gguf")));
  HistoryExecutor executor_{tokenizer_->size(), kLimits.page_tok};
  Engine engine_{executor_, *tokenizer_, kLimits};
  RequestId last_id_ = 0;
};

}  // namespace tandem::engine
