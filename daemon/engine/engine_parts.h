#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "daemon/engine/engine.h"
#include "daemon/engine/generation.h"
#include "planner/activations.h"

// What an engine is made of, for its own sources.
namespace tandem::engine {

using Clock = std::chrono::steady_clock;

inline std::uint64_t steady_us(Clock::time_point time) noexcept {
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(time.time_since_epoch()).count());
}

inline std::uint64_t us_between(Clock::time_point from, Clock::time_point to) noexcept {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(to - from).count());
}

/// One unfinished request.  The worker alone uses `generation` and the times after submission.
struct Engine::Sequence {
  Sequence(EngineRequest request, const model::Tokenizer& tokenizer, std::shared_ptr<Sink> to)
      : generation(std::move(request), tokenizer), sink(std::move(to)) {
    delta.text.reserve(kRoomForText);
    delta.reasoning.reserve(kRoomForText);
    delta.tokens.reserve(1);
    if (generation.request().chat) {
      delta.calls.reserve(1);
      delta.spare_call = model::tool_call_with_room();
    }
    if (!generation.request().logprobs) return;
    delta.scores.reserve(1);
    delta.spare_top.reserve(*generation.request().logprobs);
  }

  RequestId id = 0;
  Generation generation;
  std::shared_ptr<Sink> sink;
  TextDelta delta;  ///< what is to be given next
  Clock::time_point submitted = Clock::now();
  std::optional<Clock::time_point> started;      ///< first micro-batch
  std::optional<Clock::time_point> first_token;  ///< first sampled token
  std::uint64_t decode_step_us = 0;
  std::uint64_t decode_read_bytes = 0;

  void account_decode(const BytesRead& bytes, std::uint64_t us) noexcept {
    decode_step_us += us;
    decode_read_bytes += bytes.weights + bytes.kv;
  }

  [[nodiscard]] Usage usage(Clock::time_point end) const noexcept {
    const auto start = started.value_or(end);
    const auto first = first_token.value_or(end);
    return {generation.request().prompt.size(),
            generation.completion_tok(),
            us_between(submitted, start),
            us_between(start, first),
            us_between(first, end),
            decode_step_us,
            decode_read_bytes,
            generation.thought_tok()};
  }
};

/// A micro-batch being computed, and room for the next one.
struct Engine::OnTheWay {
  explicit OnTheWay(const scheduler::Limits& limits) {
    step.work.reserve(limits.sequences);
    rows.tokens.reserve(limits.micro_batch);
    rows.sequences.reserve(limits.sequences);
    rows.wanted.reserve(limits.logit_rows);
    rows.best.reserve(limits.logit_rows);
    rows.edits.reserve(limits.logit_rows * planner::kMostEdits);
  }

  scheduler::Step step;
  Rows rows;
  std::uint64_t prompt_tok = 0;  ///< rows of prompts
  Clock::time_point begun;
};

/// A sequence's part of a computed micro-batch.
struct Engine::Ready {
  SequencePtr sequence;
  scheduler::Work work;
  std::uint32_t first_logits = 0;  ///< index of its first wanted row
  bool reduced = false;            ///< the last of these

  [[nodiscard]] std::uint64_t end_position() const noexcept { return work.first_position + work.rows; }
};

}  // namespace tandem::engine
