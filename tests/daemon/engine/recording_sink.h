#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <limits>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daemon/engine/sink.h"

namespace tandem::engine {

/// Keeps all that comes; has room for `capacity` deltas that nobody has read.
class RecordingSink final : public Sink {
 public:
  explicit RecordingSink(std::size_t capacity = std::numeric_limits<std::size_t>::max())
      : capacity_(capacity) {}

  void on_progress(std::uint64_t done_tok, std::uint64_t total_tok) override {
    const std::lock_guard lock(mutex_);
    note_event();
    progress_.emplace_back(done_tok, total_tok);
    changed_.notify_all();
  }

  void on_text(const TextDelta& delta) override {
    const std::lock_guard lock(mutex_);
    note_event();
    text_ += delta.text;
    reasoning_ += delta.reasoning;
    calls_.insert(calls_.end(), delta.calls.begin(), delta.calls.end());
    tokens_.insert(tokens_.end(), delta.tokens.begin(), delta.tokens.end());
    scores_.insert(scores_.end(), delta.scores.begin(), delta.scores.end());
    ++unread_;
    changed_.notify_all();
  }

  void on_finish(Finished finished) noexcept override {
    const std::lock_guard lock(mutex_);
    note_event();
    finished_ = std::move(finished);
    changed_.notify_all();
  }

  [[nodiscard]] bool has_room() const override {
    const std::lock_guard lock(mutex_);
    return unread_ < capacity_;
  }

  /// Reads `n` deltas, without telling the engine.
  void read(std::size_t n) {
    const std::lock_guard lock(mutex_);
    unread_ -= n;
  }

  Finished wait_finished() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return finished_.has_value(); });
    return *finished_;
  }

  void wait_tokens(std::size_t n) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tokens_.size() >= n || finished_; });
  }

  [[nodiscard]] bool finished() const {
    const std::lock_guard lock(mutex_);
    return finished_.has_value();
  }

  /// True once something came after on_finish.
  [[nodiscard]] bool spoke_after_end() const {
    const std::lock_guard lock(mutex_);
    return spoke_after_end_;
  }

  // For after the end, when nothing changes any more.
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] const std::string& reasoning() const { return reasoning_; }
  [[nodiscard]] const std::vector<model::ToolCall>& calls() const { return calls_; }
  [[nodiscard]] const std::vector<model::TokenId>& tokens() const { return tokens_; }
  [[nodiscard]] const std::vector<ScoredToken>& scores() const { return scores_; }
  [[nodiscard]] const std::vector<std::pair<std::uint64_t, std::uint64_t>>& progress() const {
    return progress_;
  }

 private:
  void note_event() noexcept { spoke_after_end_ |= finished_.has_value(); }

  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::string text_;
  std::string reasoning_;
  std::vector<model::ToolCall> calls_;
  std::vector<model::TokenId> tokens_;
  std::vector<ScoredToken> scores_;
  std::vector<std::pair<std::uint64_t, std::uint64_t>> progress_;
  std::size_t unread_ = 0;
  std::optional<Finished> finished_;
  bool spoke_after_end_ = false;
};

}  // namespace tandem::engine
