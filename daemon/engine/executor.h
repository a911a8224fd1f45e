#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "backends/device.h"

namespace tandem::engine {

/// A micro-batch as the stages get it: what the scheduler decided, with tokens and page tables filled in.
struct Rows {
  std::vector<std::int32_t> tokens;             ///< (rows)
  std::vector<device::SequenceRows> sequences;  ///< consecutive, together all rows
  std::vector<std::uint32_t> wanted;            ///< rows whose logits are wanted, ascending

  void clear() noexcept;
};

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

/// Runs micro-batches, one after another, on the engine's worker.
class Executor {
 public:
  Executor() = default;
  virtual ~Executor() = default;
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  [[nodiscard]] virtual std::uint32_t vocab() const noexcept = 0;

  /// Called once on the worker, before the first run.
  virtual void start() {}

  /// Computes `rows` and commits their K and V.  An exception means that the step failed: its sequences are
  /// lost, the executor is not.
  virtual BytesRead run(const Rows& rows) = 0;

  /// Logits (vocab) of the i-th wanted row of the last run.  They may be changed, and hold until the next
  /// run.
  [[nodiscard]] virtual std::span<float> logits(std::uint32_t i) noexcept = 0;
};

}  // namespace tandem::engine
