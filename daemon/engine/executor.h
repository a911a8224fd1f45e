#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "backends/device.h"

namespace tandem::engine {

/// A micro-batch as the stages get it: what the scheduler decided, with tokens and page tables filled in.
struct Rows {
  std::vector<std::int32_t> tokens;             ///< (rows)
  std::vector<device::SequenceRows> sequences;  ///< consecutive, together all rows; drafts as there
  std::vector<std::uint32_t> wanted;            ///< rows whose logits are wanted, ascending
  bool streamed = false;                        ///< they go the way on which weights are streamed to the GPU
  std::vector<std::uint32_t> best;  ///< of each: how many of the best logits do; 0, as if empty: it takes all
  std::vector<device::TokenEdit> edits;  ///< of logits of which the best do, by row, which counts in `wanted`
  std::uint32_t choosable = 0;           ///< tokens, from 0 on, that can be chosen
};

/// As the stages get it.
inline device::MicroBatch batch_of(const Rows& rows) noexcept {
  return {rows.sequences.data(), static_cast<std::uint32_t>(rows.sequences.size()),
          static_cast<std::uint32_t>(rows.tokens.size())};
}

/// What one micro-batch read from memory, for achieved GB/s.
struct BytesRead {
  std::uint64_t weights = 0;  ///< every bound tensor once; the head only where logits were wanted
  std::uint64_t kv = 0;       ///< every visible row of every sequence once

  BytesRead& operator+=(const BytesRead& other) noexcept {
    weights += other.weights;
    kv += other.kv;
    return *this;
  }
};

/// What a row of logits was reduced to.
struct ReducedRow {
  std::span<const device::Candidate> candidates;  ///< as device::LogitReduction has them
  std::uint32_t unusable = 0;                     ///< logits that were infinite or no number
};

/// Runs micro-batches in order, for the engine's worker.
class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] virtual std::uint32_t vocab() const noexcept = 0;

  /// Called once on the worker, before the first `begin`.
  virtual void start() {}

  /// Sets `rows` on their way; they stay in place until they are back.  No more than scheduler::Limits::steps
  /// are on their way at once, and of one sequence only such as go the same way.
  virtual void begin(const Rows& rows) = 0;

  /// Waits until the oldest rows on their way are back: computed, with their K and V committed.  An exception
  /// means that their step failed: its sequences are lost, the executor is not.
  virtual BytesRead finish() = 0;

  /// Logits (vocab) of the i-th wanted row of those that came back last.  They may be changed, and hold until
  /// the next `begin` or `finish`.
  [[nodiscard]] virtual std::span<float> logits(std::uint32_t i) noexcept = 0;

  /// Memory for the masks of the answer in `slot` (model::AnswerConstraint); where there is none, they take
  /// their own.
  [[nodiscard]] virtual std::span<std::byte> masks(std::uint32_t slot) noexcept {
    static_cast<void>(slot);
    return {};
  }

  /// Whether rows of which the best logits do are reduced: then they have no `logits`.
  [[nodiscard]] virtual bool reduces() const noexcept { return false; }
  /// The i-th wanted row, if the best of its logits do; holds as long as `logits`.
  [[nodiscard]] virtual ReducedRow reduced(std::uint32_t i) noexcept {
    static_cast<void>(i);
    return {};
  }
};

}  // namespace tandem::engine
