// Thousands of random histories; after every event the scheduler is held against a ledger kept here, which
// knows the invariants but none of the scheduler's code.

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

#include "daemon/scheduler/scheduler.h"
#include "planner/batch_rows.h"

namespace tandem::scheduler {
namespace {

/// What a plan counts on of steps within `limits`.
planner::RowCounts counted_on(const Limits& limits) {
  planner::Workload workload;
  workload.sequences = limits.sequences;
  workload.micro_batch = limits.micro_batch;
  workload.max_seq_len = limits.max_seq_len;
  workload.stream_rows = limits.stream_rows;
  return planner::most_rows_beside_streams(workload);
}

struct Watched {
  Request request;
  bool paused = false;
  bool held = false;
  bool cancelled = false;
  std::uint32_t in_flight = 0;  ///< steps
  bool streamed = false;        ///< those
  bool started = false;
  std::uint64_t rows_given = 0;
  std::uint64_t rows_done = 0;
  std::uint64_t new_tok = 0;
  std::vector<std::uint64_t> prompt_cuts;
};

class History {
 public:
  explicit History(std::uint32_t seed) : random_(seed), limits_(random_limits()), scheduler_(limits_) {}

  void play(int events) {
    for (int i = 0; i < events && !::testing::Test::HasFailure(); ++i) one_event();
    drain();
  }

  [[nodiscard]] std::map<RequestId, std::vector<std::uint64_t>> prompt_cuts() const {
    std::map<RequestId, std::vector<std::uint64_t>> cuts;
    for (const auto& [id, watched] : all_) {
      if (watched.rows_done >= watched.request.prompt_tok) cuts[id] = watched.prompt_cuts;
    }
    return cuts;
  }
  [[nodiscard]] const std::map<RequestId, Watched>& requests() const { return all_; }
  [[nodiscard]] const Limits& limits() const { return limits_; }

 private:
  std::uint64_t pick(std::uint64_t low, std::uint64_t high) {
    return std::uniform_int_distribution<std::uint64_t>(low, high)(random_);
  }

  Limits random_limits() {
    Limits limits;
    limits.sequences = static_cast<std::uint32_t>(pick(1, 5));
    limits.micro_batch = limits.sequences + static_cast<std::uint32_t>(pick(0, 100));
    limits.logit_rows = limits.sequences + static_cast<std::uint32_t>(pick(0, 8));
    limits.max_seq_len = pick(1, 300);
    limits.page_tok = static_cast<std::uint32_t>(pick(1, 40));
    const auto whole = (limits.max_seq_len - 1) / limits.page_tok + 1;
    limits.pages = pick(whole, whole * limits.sequences);
    limits.max_queued = static_cast<std::uint32_t>(pick(1, 20));
    limits.steps = static_cast<std::uint32_t>(pick(1, 3));
    limits.stream_rows = static_cast<std::uint32_t>(pick(0, 1) * pick(1, 70));
    return limits;
  }

  void one_event() {
    switch (pick(0, 10)) {
      case 0:
      case 1:
        return submit();
      case 2:
        return cancel();
      case 3:
        return pause();
      case 4:
        return resume();
      case 10:
        return let_go();
      case 5:
      case 6:
      case 7:
        return start_step();
      default:
        return end_step();
    }
  }

  void submit() {
    const Request request{next_id_++, pick(1, limits_.max_seq_len), pick(0, 40), pick(0, 4) == 0,
                          pick(0, 4) == 0};
    const bool room = scheduler_.queued() < limits_.max_queued;
    ASSERT_EQ(scheduler_.submit(request), room);
    if (!room) return;
    all_[request.id].request = request;
    fifo_.push_back(request.id);
  }

  std::vector<RequestId> alive() const {
    std::vector<RequestId> ids;
    for (const auto& view : scheduler_.sequences()) {
      if (!all_.at(view.id).cancelled) ids.push_back(view.id);
    }
    return ids;
  }

  void cancel() {
    const auto ids = alive();
    if (ids.empty()) return;
    const auto id = ids[pick(0, ids.size() - 1)];
    ASSERT_TRUE(scheduler_.cancel(id));
    all_[id].cancelled = true;
    std::erase(fifo_, id);
    ASSERT_FALSE(scheduler_.holds(id));
  }

  void pause() {
    for (const auto id : alive()) {
      if (!all_[id].started || pick(0, 2) != 0) continue;
      scheduler_.pause(id);
      all_[id].paused = true;
    }
  }

  void resume() {
    for (auto& [id, watched] : all_) {
      if (!watched.paused) continue;
      scheduler_.resume(id);
      watched.paused = false;
    }
  }

  void let_go() {
    for (auto& [id, watched] : all_) {
      if (!watched.held) continue;
      scheduler_.let_go(id);
      watched.held = false;
    }
  }

  /// What was queued has a slot now, and those that asked for it are held.
  void check_admitted(const std::set<RequestId>& queued_before) {
    std::set<RequestId> admitted;
    for (const auto id : scheduler_.admitted()) {
      ASSERT_TRUE(admitted.insert(id).second);
      all_.at(id).held = all_.at(id).request.held;
    }
    auto gone = queued_before;
    for (const auto id : queued()) gone.erase(id);
    ASSERT_EQ(admitted, gone);
  }

  [[nodiscard]] std::set<RequestId> queued() const {
    std::set<RequestId> ids;
    for (const auto& view : scheduler_.sequences()) {
      if (view.state == State::queued) ids.insert(view.id);
    }
    return ids;
  }

  void start_step() {
    if (in_flight_.size() >= limits_.steps) return;
    const auto queued_before = queued();
    const auto step = scheduler_.next();
    check_admitted(queued_before);
    if (step.empty()) return;
    std::uint64_t rows = 0;
    std::uint64_t logits = 0;
    bool prompt_seen = false;
    std::set<std::uint32_t> slots;
    for (const auto& work : step.work) {
      auto& watched = all_.at(work.id);
      check_fifo(work.id, watched);
      ASSERT_FALSE(watched.paused || watched.held || watched.cancelled);
      ASSERT_EQ(work.first_position, watched.rows_given);
      ASSERT_LE(work.first_position + work.rows, limits_.max_seq_len);
      ASSERT_GE(scheduler_.pages(work.id).size() * limits_.page_tok, work.first_position + work.rows);
      const bool prompt = watched.rows_given < watched.request.prompt_tok;
      ASSERT_TRUE(prompt || watched.in_flight == 0) << "the newest token before it was chosen";
      ASSERT_TRUE(prompt || !prompt_seen) << "a decode row after a prompt row";
      prompt_seen |= prompt;
      check_logits(work, watched, prompt);
      const bool many = limits_.stream_rows > 0 && work.rows >= limits_.stream_rows;
      ASSERT_EQ(step.streamed, prompt && many) << "the way of a prompt's rows is their own number's";
      ASSERT_TRUE(watched.in_flight == 0 || watched.streamed == step.streamed) << "it might overtake";
      watched.streamed = step.streamed;
      if (prompt) watched.prompt_cuts.push_back(work.first_position + work.rows);
      ++watched.in_flight;
      watched.rows_given += work.rows;
      rows += work.rows;
      logits += work.logit_rows;
      ASSERT_LT(work.slot, limits_.sequences);
      ASSERT_TRUE(slots.insert(work.slot).second);
    }
    ASSERT_LE(rows, limits_.micro_batch);
    const auto most = counted_on(limits_);
    ASSERT_LE(rows, step.streamed ? most.rows : most.ffn_rows) << "room that no plan has";
    ASSERT_LE(logits, limits_.logit_rows);
    check_pages();
    in_flight_.push_back(step);
  }

  void check_fifo(RequestId id, Watched& watched) {
    if (watched.started) return;
    // All that came before it have started too, though perhaps without work yet.
    const auto views = scheduler_.sequences();
    for (const auto earlier : fifo_) {
      if (earlier == id) break;
      const auto view =
          std::find_if(views.begin(), views.end(), [&](const auto& v) { return v.id == earlier; });
      ASSERT_TRUE(view == views.end() || view->state != State::queued)
          << earlier << " was overtaken by " << id;
    }
    watched.started = true;
  }

  static void check_logits(const Work& work, const Watched& watched, bool prompt) {
    const bool last = work.first_position + work.rows >= watched.request.prompt_tok;
    if (!prompt) {
      ASSERT_EQ(work.rows, 1U);
      ASSERT_EQ(work.logit_rows, 1U);
    } else if (watched.request.score_prompt) {
      ASSERT_EQ(work.logit_rows, work.rows);
    } else {
      ASSERT_EQ(work.logit_rows, last && watched.request.max_new_tok > 0 ? 1U : 0U);
    }
  }

  void check_pages() {
    std::set<std::uint32_t> owned;
    std::uint64_t count = 0;
    for (const auto& view : scheduler_.sequences()) {
      if (view.state == State::queued) continue;
      for (const auto page : scheduler_.pages(view.id)) {
        ASSERT_LT(page, limits_.pages);
        owned.insert(page);
        ++count;
      }
    }
    ASSERT_EQ(owned.size(), count) << "a page with two owners";
    ASSERT_EQ(count + scheduler_.free_pages(), limits_.pages);
  }

  void end_step() {
    if (in_flight_.empty()) return;
    const auto step = in_flight_.front();
    in_flight_.erase(in_flight_.begin());
    scheduler_.completed(step);
    for (const auto& work : step.work) {
      auto& watched = all_.at(work.id);
      --watched.in_flight;
      ASSERT_EQ(scheduler_.holds(work.id), !watched.cancelled);
      if (watched.cancelled) continue;
      if (pick(0, 60) == 0) {  // its part of the step failed
        finish(work.id);
        watched.cancelled = true;
        continue;
      }
      watched.rows_done += work.rows;
      if (watched.rows_done < watched.request.prompt_tok) continue;
      sample(work.id, watched);
    }
    check_pages();
  }

  void sample(RequestId id, Watched& watched) {
    if (watched.request.max_new_tok == 0) return finish(id);
    ++watched.new_tok;
    const bool over =
        watched.new_tok == watched.request.max_new_tok || watched.rows_done == limits_.max_seq_len;
    ASSERT_EQ(scheduler_.sampled(id) == Verdict::length, over);
    if (over || pick(0, 30) == 0) return finish(id);
    watched.held = pick(0, 9) == 0;
    if (watched.held) scheduler_.hold(id);
  }

  void finish(RequestId id) {
    scheduler_.finish(id);
    std::erase(fifo_, id);
    ASSERT_FALSE(scheduler_.holds(id));
  }

  /// Without new requests and pauses everything comes to its end, in a bounded number of steps.
  void drain() {
    resume();
    std::uint64_t bound = 1;
    for (const auto& [id, watched] : all_)
      bound += watched.request.prompt_tok + watched.request.max_new_tok + 1;
    for (std::uint64_t i = 0; i < bound && !scheduler_.idle() && !::testing::Test::HasFailure(); ++i) {
      let_go();
      start_step();
      let_go();
      if (in_flight_.empty()) start_step();  // with those that got slots and were held
      ASSERT_FALSE(in_flight_.empty()) << "work left, and nothing to do";
      end_step();
    }
    while (!in_flight_.empty() && !::testing::Test::HasFailure()) end_step();
    EXPECT_TRUE(scheduler_.idle());
    EXPECT_EQ(scheduler_.free_pages(), limits_.pages);
  }

  std::mt19937 random_;
  Limits limits_;
  Scheduler scheduler_;
  RequestId next_id_ = 1;
  std::map<RequestId, Watched> all_;
  std::vector<RequestId> fifo_;
  std::vector<Step> in_flight_;
};

TEST(SchedulerRandom, HistoriesKeepEveryInvariant) {
  for (std::uint32_t seed = 1; seed <= 2000 && !HasFailure(); ++seed) {
    SCOPED_TRACE(seed);
    History(seed).play(200);
  }
}

/// Rows of one step with a prompt of every sequence, together of `rows` rows.
std::uint64_t rows_of_a_step(const Limits& limits, std::uint32_t rows) {
  Scheduler scheduler(limits);
  for (std::uint32_t i = 0; i < limits.sequences; ++i) {
    const auto length = rows / limits.sequences + (i < rows % limits.sequences ? 1 : 0);
    scheduler.submit({.id = i + 1, .prompt_tok = length, .max_new_tok = 1});
  }
  std::uint64_t taken = 0;
  for (const auto& work : scheduler.next().work) taken += work.rows;
  return taken;
}

TEST(SchedulerRandom, AsManyRowsAsAPlanCountsOnComeTogether) {
  int fewer_in_place = 0;
  for (std::uint32_t seed = 1; seed <= 2000; ++seed) {
    auto limits = History(seed).limits();
    limits.max_queued = limits.sequences;
    limits.pages = limits.sequences * ((limits.max_seq_len - 1) / limits.page_tok + 1);
    const auto most = counted_on(limits);
    ASSERT_EQ(rows_of_a_step(limits, most.ffn_rows), most.ffn_rows) << "seed " << seed;
    fewer_in_place += most.ffn_rows < most.rows ? 1 : 0;
    limits.stream_rows = 0;
    ASSERT_EQ(rows_of_a_step(limits, most.rows), most.rows) << "seed " << seed;
  }
  EXPECT_GT(fewer_in_place, 100);
}

TEST(SchedulerRandom, PromptsAreCutAlikeWhoeverSharesTheSteps) {
  std::size_t compared = 0;
  for (std::uint32_t seed = 1; seed <= 200; ++seed) {
    History crowd(seed);
    crowd.play(150);
    for (const auto& [id, cuts] : crowd.prompt_cuts()) {
      Scheduler alone(crowd.limits());
      auto request = crowd.requests().at(id).request;
      request.held = false;
      alone.submit(request);
      std::vector<std::uint64_t> alone_cuts;
      while (alone_cuts.empty() || alone_cuts.back() < crowd.requests().at(id).request.prompt_tok) {
        const auto step = alone.next();
        ASSERT_EQ(step.work.size(), 1U);
        alone_cuts.push_back(step.work[0].first_position + step.work[0].rows);
        alone.completed(step);
      }
      ASSERT_EQ(cuts, alone_cuts) << "seed " << seed << " request " << id;
      ++compared;
    }
  }
  EXPECT_GT(compared, 1000U);
}

}  // namespace
}  // namespace tandem::scheduler
