#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tandem::engine {

/// How fast work goes.
struct Rates {
  double prompt_tok_per_s = 0.0;
  double generated_tok_per_s = 0.0;
  double gb_per_s = 0.0;  ///< weights and KV read, 10^9 bytes a second
};

/// The micro-batches that ended in the last two seconds, the last kMostBatches of them, as rates.  While one
/// is being computed, the time is that of its start: a prompt chunk that takes ten seconds does not make the
/// rates of those before it fade. Times are microseconds of one steady clock.
class RateWindow {
 public:
  static constexpr std::uint64_t kWindowUs = 2'000'000;
  static constexpr std::size_t kMostBatches = 4096;

  RateWindow() : batches_(kMostBatches) {}

  void begin(std::uint64_t now_us);
  void end(std::uint64_t now_us, std::uint64_t prompt_tok, std::uint64_t bytes);
  /// A token chosen from what the last micro-batch gave.
  void generated() noexcept;

  [[nodiscard]] Rates rates(std::uint64_t now_us) const;

 private:
  void forget_oldest() noexcept;

  struct Batch {
    std::uint64_t begin_us = 0;
    std::uint64_t end_us = 0;
    std::uint64_t prompt_tok = 0;
    std::uint64_t generated_tok = 0;
    std::uint64_t bytes = 0;
  };

  std::vector<Batch> batches_;  ///< a ring
  std::size_t first_ = 0;       ///< the oldest of those in the window
  std::size_t count_ = 0;
  std::uint64_t begin_us_ = 0;
  bool computing_ = false;
};

}  // namespace tandem::engine
