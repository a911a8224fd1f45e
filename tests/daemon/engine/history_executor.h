#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

#include "daemon/engine/executor.h"
#include "model/tokenizer.h"

namespace tandem::engine {

/// A model whose logits are pseudo-random numbers, a pure function of all tokens up to the row.
inline std::vector<float> history_logits(std::span<const model::TokenId> history, std::uint32_t vocab) {
  std::uint64_t hash = 1469598103934665603ULL;
  for (const auto token : history) {
    hash = (hash ^ static_cast<std::uint64_t>(token)) * 1099511628211ULL;
  }
  std::vector<float> logits(vocab);
  for (auto& logit : logits) {
    hash = hash * 6364136223846793005ULL + 1442695040888963407ULL;
    logit = static_cast<float>(hash >> 40) * 0x1p-21F - 4.0F;  // -4 .. 4
  }
  return logits;
}

/// Runs that model.  Keeps each slot's tokens as a cache would, so that a wrong position, slot or row shows,
/// and refuses page tables that overlap.  Steps can be held back to act while one is being computed.
class HistoryExecutor final : public Executor {
 public:
  explicit HistoryExecutor(std::uint32_t vocab, std::uint32_t page_tok)
      : vocab_(vocab), page_tok_(page_tok) {}

  [[nodiscard]] std::uint32_t vocab() const noexcept override { return vocab_; }

  void begin(const Rows& rows) override { on_the_way_.push_back(&rows); }

  BytesRead finish() override {
    const Rows& rows = *on_the_way_.front();
    on_the_way_.pop_front();
    wait_for_permit();
    if (fail_next_) {
      fail_next_ = false;
      throw std::runtime_error("planted failure");
    }
    check_pages(rows);
    std::vector<std::span<const model::TokenId>> history_of_row(rows.tokens.size());
    for (const auto& part : rows.sequences) {
      auto& history = history_[part.slot];
      if (part.first_position > history.size()) throw std::logic_error("a position was left out");
      history.resize(part.first_position);
      for (std::uint32_t i = 0; i < part.rows; ++i) history.push_back(rows.tokens[part.first_row + i]);
      for (std::uint32_t i = 0; i < part.rows; ++i) {
        history_of_row[part.first_row + i] = std::span(history).first(part.first_position + i + 1);
      }
    }
    logits_.clear();
    for (const auto row : rows.wanted) logits_.push_back(history_logits(history_of_row.at(row), vocab_));
    if (poison_next_ && !logits_.empty()) {
      poison_next_ = false;
      logits_.front()[vocab_ / 2] = std::numeric_limits<float>::quiet_NaN();
    }
    return {1000, rows.tokens.size()};
  }

  [[nodiscard]] std::span<float> logits(std::uint32_t i) noexcept override { return logits_[i]; }

  /// From now on a step waits for `permit`.
  void hold() {
    const std::lock_guard lock(mutex_);
    permits_ = 0;
  }
  void permit(std::uint64_t steps) {
    const std::lock_guard lock(mutex_);
    permits_ += steps;
    changed_.notify_all();
  }
  void release() { permit(1ULL << 40); }
  /// Waits until the n-th step, counted from 1, has begun; it may be held.
  void wait_begun(std::uint64_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return begun_ >= n; });
  }
  [[nodiscard]] std::uint64_t begun() const {
    const std::lock_guard lock(mutex_);
    return begun_;
  }

  // Set before the step begins.
  void fail_next() { fail_next_ = true; }
  void poison_next() { poison_next_ = true; }

 private:
  void wait_for_permit() {
    std::unique_lock lock(mutex_);
    ++begun_;
    changed_.notify_all();
    changed_.wait(lock, [this] { return permits_ > 0; });
    --permits_;
  }

  void check_pages(const Rows& rows) const {
    std::set<std::uint32_t> seen;
    for (const auto& part : rows.sequences) {
      const auto n_pages = (part.first_position + part.rows - 1) / page_tok_ + 1;
      for (std::uint64_t i = 0; i < n_pages; ++i) {
        if (!seen.insert(part.pages[i]).second) throw std::logic_error("a page has two owners");
      }
    }
  }

  const std::uint32_t vocab_;
  const std::uint32_t page_tok_;
  std::map<std::uint32_t, std::vector<model::TokenId>> history_;  ///< by slot
  std::deque<const Rows*> on_the_way_;
  std::vector<std::vector<float>> logits_;
  bool fail_next_ = false;
  bool poison_next_ = false;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint64_t permits_ = 1ULL << 40;
  std::uint64_t begun_ = 0;
};

}  // namespace tandem::engine
