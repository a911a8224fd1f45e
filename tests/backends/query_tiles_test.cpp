// Tasks of attention: every query meets every key that it sees once, and every result has a place of its own.

#include "backends/cpu/query_tiles.h"

#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::cpu {
namespace {

using device::AttentionHalf;
using device::MicroBatch;
using device::SequenceRows;

struct Step {
  std::uint32_t heads = 1;
  std::uint32_t kv_heads = 1;
  std::uint32_t window = 0;
  std::vector<std::uint32_t> rows;      ///< of each sequence
  std::vector<std::uint64_t> contexts;  ///< of each, before its rows
  std::uint32_t max_rows = 512;
};

class Tasks {
 public:
  Tasks(const Step& step, unsigned threads) : step_(step) {
    half_.heads = step.heads;
    half_.kv_heads = step.kv_heads;
    half_.head_dim = 64;
    half_.window = step.window;
    for (std::size_t s = 0; s < step.rows.size(); ++s) {
      SequenceRows sequence;
      sequence.first_row = n_rows_;
      sequence.rows = step.rows[s];
      sequence.first_position = step.contexts[s];
      sequences_.push_back(sequence);
      n_rows_ += step.rows[s];
    }
    const MicroBatch batch{sequences_.data(), static_cast<std::uint32_t>(sequences_.size()), n_rows_};
    const QueryTiles tiles(half_, batch, threads, step.max_rows / n_rows_);
    is_cut_ = tiles.pieces().are_apart();
    for (std::size_t round = 0; tiles.tasks(round) != 0; ++round) {
      for (std::size_t i = 0; i < tiles.tasks(round); ++i) take(tiles.task(round, i), round);
      rounds_ = round + 1;
      if (!is_cut_) break;
    }
  }

  [[nodiscard]] bool is_cut() const { return is_cut_; }
  [[nodiscard]] std::size_t rounds() const { return rounds_; }

  /// Keys that each query was shown, all of them in order.
  void expect_whole() const {
    for (const SequenceRows& sequence : sequences_) {
      for (std::uint32_t row = 0; row < sequence.rows; ++row) {
        const std::uint64_t position = sequence.first_position + row;
        const std::uint64_t first =
            step_.window != 0 && position + 1 > step_.window ? position + 1 - step_.window : 0;
        for (std::uint32_t head = 0; head < step_.heads; ++head) {
          const auto found = shown_.find({sequence.first_row + row, head});
          ASSERT_NE(found, shown_.end()) << "row " << row << " head " << head;
          std::uint64_t at = first, shown = 0;
          for (const auto& [begin, end] : found->second) {
            EXPECT_GE(begin, shown) << "some keys are shown twice, or not in order";
            shown = end;
            if (is_cut_) expect_needed(sequence, begin, end);
            if (end <= first || begin > position) continue;
            EXPECT_LE(begin, at);
            EXPECT_GT(end, at);
            at = end;
          }
          EXPECT_GT(at, position) << "row " << row << " head " << head;
        }
      }
    }
  }

 private:
  /// Pieces are of keys that some row of the sequence sees.
  void expect_needed(const SequenceRows& sequence, std::uint64_t begin, std::uint64_t end) const {
    const std::uint64_t seen = sequence.first_position + 1;
    const std::uint64_t oldest = step_.window != 0 && seen > step_.window ? seen - step_.window : 0;
    EXPECT_GT(end, oldest);
    EXPECT_LT(begin, sequence.first_position + sequence.rows);
  }

  void take(const QueryTiles::Task& task, std::size_t round) {
    const AttendTask& attend = task.attend;
    EXPECT_LE(attend.n_rows * attend.n_heads * attend.n_kv_heads, kTileQueries);
    EXPECT_LE((task.slot + 1) * n_rows_, step_.max_rows);
    const std::uint32_t group = step_.heads / step_.kv_heads;
    for (std::uint32_t kv_head = 0; kv_head < attend.n_kv_heads; ++kv_head) {
      for (std::uint32_t head = 0; head < attend.n_heads; ++head) {
        for (std::uint32_t row = 0; row < attend.n_rows; ++row) {
          const std::uint32_t number = attend.first_head + kv_head * group + head;
          EXPECT_EQ(number / group, attend.kv_head + kv_head);
          const std::uint32_t batch_row = attend.sequence->first_row + attend.first_row + row;
          shown_[{batch_row, number}].emplace_back(attend.first_key, attend.end_key);
          EXPECT_TRUE(slots_.emplace(std::tuple(round, task.slot, batch_row, number), true).second);
          EXPECT_TRUE(round == 0 || task.slot > 0);
        }
      }
    }
  }

  Step step_;
  AttentionHalf half_;
  std::vector<SequenceRows> sequences_;
  std::uint32_t n_rows_ = 0;
  bool is_cut_ = false;
  std::size_t rounds_ = 0;
  std::map<std::pair<std::uint32_t, std::uint32_t>, std::vector<std::pair<std::uint64_t, std::uint64_t>>>
      shown_;
  std::map<std::tuple<std::size_t, std::size_t, std::uint32_t, std::uint32_t>, bool> slots_;
};

TEST(QueryTiles, ShowEveryQueryItsKeysOnce) {
  const Step steps[] = {
      {16, 8, 1024, {1}, {9000}, 512},
      {16, 1, 0, {1}, {100'000}, 512},
      {16, 1, 0, {1}, {5000}, 3},
      {16, 4, 300, {1, 2, 1}, {40, 3000, 700}, 32},
      {4, 1, 0, {64}, {2000}, 512},
      {32, 16, 0, {512}, {0}, 512},
      {6, 2, 0, {1, 1, 1, 7}, {0, 255, 256, 257}, 24},
      {8, 8, 100, {5}, {510}, 11},
  };
  for (const Step& step : steps) {
    for (const unsigned threads : {1U, 2U, 3U, 4U, 16U}) {
      SCOPED_TRACE(std::to_string(step.contexts[0]) + " tokens, " + std::to_string(threads) + " threads");
      Tasks(step, threads).expect_whole();
    }
  }
}

TEST(QueryTiles, CutTheKeysOfOneLongSequence) {
  const Step one{16, 1, 0, {1}, {16'384}, 512};
  EXPECT_FALSE(Tasks(one, 1).is_cut());
  EXPECT_TRUE(Tasks(one, 4).is_cut());
  EXPECT_EQ(Tasks(one, 4).rounds(), 1U);
  const Step in_rounds{16, 1, 0, {1}, {16'384}, 8};
  EXPECT_GT(Tasks(in_rounds, 4).rounds(), 8U);
  const Step one_long_of_many{16, 1, 0, std::vector<std::uint32_t>(20, 1),
                              std::vector<std::uint64_t>(20, 300)};
  EXPECT_FALSE(Tasks(one_long_of_many, 4).is_cut());
  Step uneven = one_long_of_many;
  uneven.contexts[7] = 50'000;
  EXPECT_TRUE(Tasks(uneven, 4).is_cut());
}

}  // namespace
}  // namespace tandem::cpu
