#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/mutant.h"
#include "backends/device.h"

namespace tandem::cpu {

/// Where the keys of a step are cut, so that one long sequence occupies all threads: into the pieces that
/// every softmax consists of anyway (kPieceTok).  Their results wait in slots until they are merged, in as
/// many rounds as it takes.  A later round's first slot has the result of those before.
class KeyPieces {
 public:
  /// For `slots` slots; with fewer than two, keys are not cut.
  explicit KeyPieces(std::size_t slots) : slots_(slots) {}

  [[nodiscard]] bool are_apart() const noexcept { return slots_ > 1; }

  /// Of the keys that the rows of `sequence` see.
  [[nodiscard]] static std::size_t count(const device::AttentionHalf& half,
                                         const device::SequenceRows& sequence) noexcept {
    const std::uint64_t last = sequence.first_position + sequence.rows - 1;
    return static_cast<std::size_t>(last / kPieceTok - first(half, sequence) + 1);
  }

  /// Number of the first one, of all there are.
  [[nodiscard]] static std::uint64_t first(const device::AttentionHalf& half,
                                           const device::SequenceRows& sequence) noexcept {
    const std::uint64_t seen = sequence.first_position + 1;
    const std::uint64_t oldest = half.window != 0 && seen > half.window ? seen - half.window : 0;
    return std::max(oldest, sequence.first_key) / kPieceTok;
  }

  /// Pieces [begin, end) are a round's.
  [[nodiscard]] std::size_t begin(std::size_t round) const noexcept {
    return round == 0 ? 0 : end(round - 1);
  }
  [[nodiscard]] std::size_t end(std::size_t round) const noexcept { return slots_ + round * (slots_ - 1); }

  /// Of `count` pieces, so many are a round's.
  [[nodiscard]] std::size_t in_round(std::size_t count, std::size_t round) const noexcept {
    if (!are_apart()) return 1;
    return std::min(count, end(round)) - std::min(count, begin(round));
  }

  /// The slot of a round's first piece.
  [[nodiscard]] static std::size_t first_slot(std::size_t round) noexcept { return round == 0 ? 0 : 1; }

 private:
  std::size_t slots_;
};

/// How the queries of a batch are cut into attend tasks: tiles of rows times tiles of the heads of a KV head,
/// or of all heads of several; times pieces of keys.
class QueryTiles {
 public:
  /// Of at most `slots` slots, as many as help are used.
  QueryTiles(const device::AttentionHalf& half, const device::MicroBatch& batch, unsigned threads,
             std::size_t slots)
      : half_(half), batch_(batch), pieces_(1) {
    cut_queries(threads);
    if (slots < 2 || threads == 1 || is_even(threads)) return;
    pieces_ = KeyPieces(slots);
    cut_queries(threads);
  }

  [[nodiscard]] const KeyPieces& pieces() const noexcept { return pieces_; }

  [[nodiscard]] std::size_t tasks(std::size_t round) const noexcept {
    std::size_t n = 0;
    for (const auto& sequence : sequences()) n += tasks_of(sequence, round);
    return n;
  }

  /// A round's task number `i`.
  struct Task {
    AttendTask attend;
    std::size_t slot = 0;
  };
  [[nodiscard]] Task task(std::size_t round, std::size_t i) const noexcept {
    const device::SequenceRows* sequence = batch_.sequences;
    for (; i >= tasks_of(*sequence, round); ++sequence) i -= tasks_of(*sequence, round);
    const std::size_t piece = i / tiles_of(*sequence);
    Task task{tile(*sequence, i % tiles_of(*sequence)), 0};
    if (!pieces_.are_apart()) return task;
    task.slot = piece + KeyPieces::first_slot(round);
    task.attend.first_key = (KeyPieces::first(half_, *sequence) + pieces_.begin(round) + piece) * kPieceTok;
    task.attend.end_key = task.attend.first_key + kPieceTok;
    return task;
  }

 private:
  [[nodiscard]] std::span<const device::SequenceRows> sequences() const noexcept {
    return {batch_.sequences, batch_.n_sequences};
  }

  [[nodiscard]] std::uint32_t group() const noexcept { return half_.heads / half_.kv_heads; }

  void cut_queries(unsigned threads) noexcept {
    std::size_t row_pieces = 0;
    std::uint32_t longest = 1;
    for (const auto& sequence : sequences()) {
      row_pieces += sequence.rows * pieces_.in_round(KeyPieces::count(half_, sequence), 0);
      longest = std::max(longest, sequence.rows);
    }
    // Queries that share keys share their loading; but every thread should have something to do.
    const auto tasks_for = [&](std::uint32_t heads) {
      return row_pieces * half_.kv_heads * ((group() + heads - 1) / heads);
    };
    heads_together_ = std::min(group(), kTileQueries);
    while (heads_together_ > 1 && tasks_for(heads_together_) < threads) {
      heads_together_ = (heads_together_ + 1) / 2;
    }
    if (mutant(Mutant::kv_head_by_remainder)) heads_together_ = 1;
    head_tiles_ = (group() + heads_together_ - 1) / heads_together_;
    const std::size_t rows = tasks_for(heads_together_) / (std::size_t{threads} * 4);
    const std::uint32_t most_rows = std::min(longest, std::max(1u, kTileQueries / heads_together_));
    rows_together_ = static_cast<std::uint32_t>(std::clamp<std::size_t>(rows, 1, most_rows));
    // Keys of neighbouring heads lie side by side; but every thread should have as much to do as the others.
    kv_heads_together_ = 1;
    const auto can_double = [&] {
      const std::uint32_t doubled = 2 * kv_heads_together_;
      const bool is_even = half_.kv_heads % (std::size_t{doubled} * threads) == 0 ||
                           row_pieces * (half_.kv_heads / doubled) >= std::size_t{threads} * 4;
      return head_tiles_ == 1 && rows_together_ == 1 && doubled * heads_together_ <= kTileQueries &&
             half_.kv_heads % doubled == 0 && is_even;
    };
    while (can_double()) kv_heads_together_ *= 2;
  }

  /// Whether no task has more than a quarter of a thread's share of the keys.
  [[nodiscard]] bool is_even(unsigned threads) const noexcept {
    std::size_t all = 0, most = 0;
    for (const auto& sequence : sequences()) {
      const std::size_t pieces = KeyPieces::count(half_, sequence);
      all += tiles_of(sequence) * pieces;
      most = std::max(most, pieces);
    }
    return most == 1 || most * threads * 4 <= all;
  }

  [[nodiscard]] std::size_t tiles_of(const device::SequenceRows& sequence) const noexcept {
    const std::size_t row_tiles = (std::size_t{sequence.rows} + rows_together_ - 1) / rows_together_;
    return row_tiles * (half_.kv_heads / kv_heads_together_) * head_tiles_;
  }

  [[nodiscard]] std::size_t tasks_of(const device::SequenceRows& sequence, std::size_t round) const noexcept {
    return tiles_of(sequence) * pieces_.in_round(KeyPieces::count(half_, sequence), round);
  }

  /// Tile number `i` of a sequence.
  [[nodiscard]] AttendTask tile(const device::SequenceRows& sequence, std::size_t i) const noexcept {
    const auto head_tile = static_cast<std::uint32_t>(i % head_tiles_);
    const std::uint32_t kv_tiles = half_.kv_heads / kv_heads_together_;
    AttendTask task;
    task.half = &half_;
    task.sequence = &sequence;
    task.kv_head = static_cast<std::uint32_t>(i / head_tiles_ % kv_tiles) * kv_heads_together_;
    task.n_kv_heads = kv_heads_together_;
    task.first_row = static_cast<std::uint32_t>(i / head_tiles_ / kv_tiles) * rows_together_;
    task.n_rows = std::min(rows_together_, sequence.rows - task.first_row);
    task.first_head = task.kv_head * group() + head_tile * heads_together_;
    task.n_heads = std::min(heads_together_, group() - head_tile * heads_together_);
    if (mutant(Mutant::kv_head_by_remainder)) task.kv_head = task.first_head % half_.kv_heads;
    return task;
  }

  const device::AttentionHalf& half_;
  device::MicroBatch batch_;
  KeyPieces pieces_;
  std::uint32_t rows_together_ = 1;
  std::uint32_t kv_heads_together_ = 1;
  std::uint32_t heads_together_ = 1;
  std::uint32_t head_tiles_ = 1;  ///< of one KV head
};

}  // namespace tandem::cpu
