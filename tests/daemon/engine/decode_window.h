#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <gtest/gtest.h>

#include "backends/cuda/emulation/device.h"
#include "backends/cuda/emulation/inside.h"
#include "daemon/metrics.h"
#include "daemon/stream_sink.h"
#include "ipc/event_stream.h"
#include "ipc/posted_wake.h"
#include "tests/daemon/engine/served_model.h"
#include "tests/support/allocations.h"

namespace tandem::engine {

/// Steps before those that are counted.
inline constexpr std::uint64_t kWarmSteps = 20;

inline cuda::emulation::Counts operator-(const cuda::emulation::Counts& a, const cuda::emulation::Counts& b) {
  return {a.calls - b.calls,
          a.allocations - b.allocations,
          a.captures - b.captures,
          a.operations - b.operations,
          a.graph_launches - b.graph_launches,
          a.synchronisations - b.synchronisations};
}

/// When a client reads what there is.
enum class Reads {
  at_once,   ///< when it is woken
  when_full  ///< once no more has room, so that the sequence is paused
};

/// Reads a stream as a connection of the server does: on a thread of its own.
class Client {
 public:
  explicit Client(Reads reads = Reads::at_once) : reads_(reads), reader_([this] { read(); }) {}
  ~Client() { work_.reset(); }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// What the daemon gives such a client's text to.
  std::shared_ptr<Sink> sink(const model::Tokenizer& tokenizer, const EngineRequest& request,
                             std::function<void()> resume) {
    using Calls = ipc::EventStream::Calls;
    const auto calls = request.chat ? Calls::maybe : Calls::no;
    const auto stream = std::make_shared<ipc::EventStream>(kUnread, request.logprobs, calls);
    stream->on_push(ipc::posted_wake(io_, [this, stream = std::weak_ptr(stream)] {
      const auto to_read = stream.lock();
      if (reads_ == Reads::at_once || !to_read->has_room()) count(to_read->drain());
    }));
    stream->on_drain(std::move(resume));
    streams_.push_back(stream);
    return std::make_shared<daemon::StreamSink>(stream, tokenizer, metrics_);
  }

  /// Once nothing more comes.
  std::uint64_t tokens() {
    if (reader_.joinable()) {
      work_.reset();
      reader_.join();
      for (const auto& stream : streams_) count(stream->drain());
    }
    return tokens_;
  }
  /// Of content.
  std::uint64_t text_bytes() {
    tokens();
    return text_bytes_;
  }
  /// Events of one stream that had come when it was read.
  std::size_t most_unread() {
    tokens();
    return most_unread_;
  }
  std::uint64_t alternatives() {
    tokens();
    return alternatives_;
  }
  std::uint64_t calls() {
    tokens();
    return calls_;
  }

  static bool is_here() noexcept { return here_; }

 private:
  static constexpr std::size_t kUnread = ipc::Limits{}.queued_events;

  void count(const std::vector<ipc::StreamEvent>& events) {
    most_unread_ = std::max(most_unread_, events.size());
    for (const auto& event : events) {
      const auto* delta = std::get_if<ipc::TextDelta>(&event);
      if (delta == nullptr) continue;
      tokens_ += delta->tokens.size();
      text_bytes_ += delta->text.size();
      calls_ += delta->calls.size();
      for (const auto& score : delta->scores) alternatives_ += score.top.size();
    }
  }

  void read() {
    here_ = true;
    io_->run();
  }

  static inline thread_local bool here_ = false;

  std::shared_ptr<boost::asio::io_context> io_ = std::make_shared<boost::asio::io_context>();
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_ =
      boost::asio::make_work_guard(*io_);
  std::vector<std::shared_ptr<ipc::EventStream>> streams_;
  daemon::Metrics metrics_;
  const Reads reads_;
  std::uint64_t tokens_ = 0;
  std::uint64_t text_bytes_ = 0;
  std::size_t most_unread_ = 0;
  std::uint64_t calls_ = 0;
  std::uint64_t alternatives_ = 0;  ///< of scores
  std::jthread reader_;             ///< last: it uses all of the above
};

/// Allocations that do not count.
inline bool is_left_out() noexcept {
  return cuda::emulation::Inside::here() || Client::is_here();
}

/// What happens between two of the engine's steps, counted by how many tokens came of sequences that go on
/// all the while.  Sequences wait for each other after their first one.
class Window {
 public:
  Window(std::uint64_t sequences, std::uint64_t steps, cuda::Device::State* device)
      : begin_(kWarmSteps * sequences), end_((kWarmSteps + steps) * sequences), device_(device) {}

  void token() {
    ++tokens_;
    if (tokens_ == begin_) {
      before_ = counts();
      test_support::Allocations::start(&is_left_out);
    }
    if (tokens_ == end_) {
      test_support::Allocations::stop();
      during_ = counts() - before_;
    }
  }

  /// A sequence ended that does not go on.
  void end() { ends_ += tokens_ >= begin_ && tokens_ < end_ ? 1 : 0; }
  /// How many of these ended meanwhile.
  [[nodiscard]] std::uint64_t ends() const { return ends_; }

  /// Lets sequences go on that have their first token.
  void open() noexcept { open_ = true; }
  [[nodiscard]] bool is_open() const noexcept { return open_; }
  [[nodiscard]] bool passed() const { return tokens_ >= end_; }
  [[nodiscard]] const cuda::emulation::Counts& on_device() const { return during_; }

 private:
  [[nodiscard]] cuda::emulation::Counts counts() const {
    return device_ == nullptr ? cuda::emulation::Counts{} : cuda::emulation::counts(*device_);
  }

  const std::uint64_t begin_;
  const std::uint64_t end_;
  cuda::Device::State* const device_;
  std::atomic<bool> open_{false};
  std::uint64_t tokens_ = 0;
  std::uint64_t ends_ = 0;
  cuda::emulation::Counts before_;
  cuda::emulation::Counts during_;
};

/// Whether a request ends by itself before its window does.
enum class Lasts { on_and_on, part_of_it };

/// Tells the window of the tokens of a sequence that goes on and on and of the end of another, the test of
/// any end, and `to`, if there is one, of everything.
class WindowSink final : public Sink {
 public:
  WindowSink(Window& window, Lasts lasts, std::shared_ptr<Sink> to)
      : window_(window), lasts_(lasts), to_(std::move(to)) {}

  void on_progress(std::uint64_t done_tok, std::uint64_t total_tok) override {
    if (to_) to_->on_progress(done_tok, total_tok);
  }
  void on_text(const TextDelta& delta) override {
    if (to_) to_->on_text(delta);
    for (std::size_t i = 0; i < delta.tokens.size(); ++i) {
      if (lasts_ == Lasts::on_and_on) window_.token();
    }
    begun_.test_and_set();
    begun_.notify_all();
  }
  void on_finish(Finished finished) noexcept override {
    if (to_) to_->on_finish(finished);
    if (lasts_ == Lasts::part_of_it) window_.end();
    reason_ = finished.reason;
    error_ = std::move(finished.error);
    finished_.test_and_set();
    finished_.notify_all();
  }
  [[nodiscard]] bool has_room() const override { return window_.is_open() && (!to_ || to_->has_room()); }

  void wait_begun() const { begun_.wait(false); }
  FinishReason wait() {
    finished_.wait(false);
    EXPECT_EQ(error_, "");
    return reason_;
  }

 private:
  Window& window_;
  const Lasts lasts_;
  const std::shared_ptr<Sink> to_;
  std::atomic_flag begun_;
  std::atomic_flag finished_;
  FinishReason reason_ = FinishReason::error;
  std::string error_;
};

}  // namespace tandem::engine
