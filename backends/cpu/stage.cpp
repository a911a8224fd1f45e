#include "backends/cpu/stage.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

#include "backends/cpu/kv_rows.h"
#include "backends/cpu/mutant.h"
#include "backends/cpu/operations.h"
#include "backends/cpu/query_tiles.h"
#include "backends/unit_checks.h"

namespace tandem::cpu {
namespace {

using device::AttentionHalf;
using device::FfnHalf;
using device::MicroBatch;
using device::SequenceRows;
using device::Unit;
using device::UnitKind;

/// Columns of the FFN that one piece of GeGLU covers.
constexpr std::uint32_t kGeluPiece = 1024;

/// A unit and what follows from its shape.
struct PreparedUnit : device::CheckedUnit {
  std::uint32_t rotated_pairs = 0;
};

/// Rotating pairs come first in every RoPE of model-spec 1.2.
std::uint32_t count_rotated_pairs(const AttentionHalf& half) {
  std::uint32_t pairs = half.head_dim / 2;
  while (pairs > 0 && half.inv_freq[pairs - 1] == 0.0) --pairs;
  return pairs;
}

PreparedUnit prepare(const Unit& unit, const device::StageShape& shape) {
  PreparedUnit prepared{device::check_unit(kAbilities, unit, shape.width)};
  if (unit.kind == UnitKind::attention) prepared.rotated_pairs = count_rotated_pairs(unit.attention);
  return prepared;
}

const SequenceRows& sequence_of(const MicroBatch& batch, std::size_t row) {
  const SequenceRows* sequence = batch.sequences;
  while (row >= std::size_t{sequence->first_row} + sequence->rows) ++sequence;
  return *sequence;
}

std::uint64_t position_of(const SequenceRows& sequence, std::size_t row) {
  return sequence.first_position + (row - sequence.first_row);
}

class CpuStage final : public device::Stage {
 public:
  CpuStage(std::vector<PreparedUnit> units, const device::StageShape& shape, const device::Scratch& scratch,
           Team& team, const KernelSet& kernels)
      : units_(std::move(units)), shape_(shape), scratch_(scratch), team_(team), kernels_(kernels) {}

  void step(const MicroBatch& batch, float* x) noexcept override {
    if (units_.empty() || batch.rows == 0) return;
    team_.run([&](Team::Member& member) { run_units(member, batch, x); });
  }

 private:
  void run_units(Team::Member& member, const MicroBatch& batch, float* x) const noexcept {
    commit_accepted(member, batch);
    member.for_each(batch.rows, [&](std::size_t r) { begin_row(units_.front(), batch, x, r); });
    for (std::size_t u = 0; u < units_.size(); ++u) {
      const PreparedUnit& unit = units_[u];
      if (unit.unit.kind == UnitKind::attention) {
        attention(member, unit, batch);
      } else {
        ffn(member, unit, batch);
      }
      const PreparedUnit* next = u + 1 < units_.size() ? &units_[u + 1] : nullptr;
      member.for_each(batch.rows, [&](std::size_t r) {
        finish_row(unit, batch, x, r);
        if (next != nullptr) begin_row(*next, batch, x, r);
      });
    }
  }

  /// normed = rms(x) * norm, as integers too if wanted; for attention also the row's rotation.
  void begin_row(const PreparedUnit& prepared, const MicroBatch& batch, const float* x,
                 std::size_t r) const noexcept {
    const bool is_attention = prepared.unit.kind == UnitKind::attention;
    const float* norm = is_attention ? prepared.unit.attention.norm : prepared.unit.ffn.norm;
    float* normed = scratch_.normed + r * shape_.width;
    kernels_.rms_norm(x + r * shape_.width, norm, shape_.width, shape_.norm_eps, normed);
    if (prepared.quantise_input) quantise_row(normed, shape_.width, r);
    if (!is_attention) return;
    const AttentionHalf& half = prepared.unit.attention;
    const std::uint64_t position = position_of(sequence_of(batch, r), r);
    float* cos = rotation_row(half, r);
    kernels_.rotation(half.inv_freq, prepared.rotated_pairs, position, cos, cos + prepared.rotated_pairs);
  }

  /// x = (x + rms(projected) * post_norm) * scale; an attention half also commits the row's K and V.
  void finish_row(const PreparedUnit& prepared, const MicroBatch& batch, float* x,
                  std::size_t r) const noexcept {
    const bool is_attention = prepared.unit.kind == UnitKind::attention;
    const float* norm = is_attention ? prepared.unit.attention.post_norm : prepared.unit.ffn.post_norm;
    const float scale = is_attention ? 1.0f : prepared.unit.ffn.output_scale;
    kernels_.add_rms_norm(scratch_.projected + r * shape_.width, norm, shape_.width, shape_.norm_eps, scale,
                          x + r * shape_.width);
    if (is_attention && !mutant(Mutant::commit_before_attention))
      commit_row(prepared.unit.attention, batch, r);
  }

  void attention(Team::Member& member, const PreparedUnit& prepared, const MicroBatch& batch) const noexcept {
    const AttentionHalf& half = prepared.unit.attention;
    const Product products[] = {{&half.q, scratch_.q}, {&half.k, scratch_.k}, {&half.v, scratch_.v}};
    const std::size_t n_products = half.v.data != nullptr ? 3 : 2;
    multiply_all(member, kernels_, {scratch_.normed, scratch_.quantised, shape_.width, batch.rows},
                 {products, n_products});
    member.for_each(std::size_t{batch.rows} * half.kv_heads, [&](std::size_t i) {
      finish_heads(prepared, i / half.kv_heads, static_cast<std::uint32_t>(i % half.kv_heads));
    });
    if (mutant(Mutant::commit_before_attention)) {
      member.for_each(batch.rows, [&](std::size_t r) { commit_row(half, batch, r); });
    }
    attend(member, prepared, batch);
    const std::uint32_t attended = half.heads * half.head_dim;
    if (prepared.quantise_inner) {
      member.for_each(batch.rows,
                      [&](std::size_t r) { quantise_row(scratch_.attended + r * attended, attended, r); });
    }
    const Product out{&half.out, scratch_.projected};
    multiply_all(member, kernels_, {scratch_.attended, scratch_.quantised, attended, batch.rows}, {&out, 1});
  }

  /// Softmax attention of all queries.  Sums of the first slot of pieces are where the result goes, those of
  /// the others in the rows of that buffer which the batch leaves free; their states in K's, which is in
  /// staging by now.
  void attend(Team::Member& member, const PreparedUnit& prepared, const MicroBatch& batch) const noexcept {
    const AttentionHalf& half = prepared.unit.attention;
    const std::size_t row_states = std::size_t{half.heads} * 2;  // in floats
    const bool has_room = row_states <= std::size_t{half.kv_heads} * half.head_dim;
    const QueryTiles tiles(half, batch, member.count(), has_room ? shape_.max_rows / batch.rows : 1);
    auto* const states = reinterpret_cast<AttendState*>(scratch_.k);
    const std::size_t slot_states = std::size_t{batch.rows} * half.heads;
    const std::size_t slot_sums = slot_states * half.head_dim;
    const KeyPieces& pieces = tiles.pieces();
    for (std::size_t round = 0; tiles.tasks(round) != 0; ++round) {
      member.for_each(tiles.tasks(round), [&](std::size_t i) {
        auto [task, slot] = tiles.task(round, i);
        task.staging = scratch_.kv_staging;
        task.q = scratch_.q;
        task.out = scratch_.attended + slot * slot_sums;
        if (pieces.are_apart()) task.states = states + slot * slot_states;
        task.rotated_pairs = prepared.rotated_pairs;
        kernels_.attend(task);
      });
      if (!pieces.are_apart()) return;
      member.for_each(slot_states, [&](std::size_t i) {
        const std::size_t count = KeyPieces::count(half, sequence_of(batch, i / half.heads));
        const std::size_t fresh = pieces.in_round(count, round);
        if (fresh == 0) return;
        float* const sums = scratch_.attended + i * half.head_dim;
        kernels_.merge_pieces(
            {sums, slot_sums, states + i, slot_states, KeyPieces::first_slot(round) + fresh, half.head_dim});
        if (count > pieces.end(round)) return;
        const float weight = states[i].weight;
        for (std::size_t k = 0; k < half.head_dim; ++k) sums[k] /= weight;
      });
    }
  }

  /// Norms and rotates one KV head of a row and the query heads that read it; K and V go to staging in the KV
  /// type.
  void finish_heads(const PreparedUnit& prepared, std::size_t r, std::uint32_t kv_head) const noexcept {
    const AttentionHalf& half = prepared.unit.attention;
    const std::uint32_t group = half.heads / half.kv_heads;
    for (std::uint32_t h = kv_head * group; h < (kv_head + 1) * group; ++h) {
      float* q = scratch_.q + (r * half.heads + h) * half.head_dim;
      norm_and_rotate(prepared, half.q_norm, r, q);
      kernels_.round_query(half.attention_scale, half.kv.type, half.head_dim, q);
    }
    float* k = scratch_.k + (r * half.kv_heads + kv_head) * half.head_dim;
    float* v = scratch_.v + (r * half.kv_heads + kv_head) * half.head_dim;
    std::byte* row = scratch_.kv_staging + r * half.kv.row_bytes;
    const std::size_t head_at = std::size_t{kv_head} * half.head_dim;
    const float* v_raw = half.v.data != nullptr ? v : k;
    if (half.v.data == nullptr || half.v_norm) {
      const float* weight = mutant(Mutant::weighted_v_norm) ? half.k_norm : nullptr;
      kernels_.rms_norm(v_raw, weight, half.head_dim, shape_.norm_eps, v);
    }
    if (mutant(Mutant::rotated_v)) rotate(prepared, r, v);
    if (half.kv.layout == device::KvLayout::vector) {
      kernels_.encode_kv(v, half.head_dim, half.kv.type, row + kv_bytes(half.kv.type, head_at));
      return;
    }
    norm_and_rotate(prepared, half.k_norm, r, k);
    const std::size_t values_at = std::size_t{half.kv_heads} * half.head_dim;
    kernels_.encode_kv(k, half.head_dim, half.kv.type, row + kv_bytes(half.kv.type, head_at));
    kernels_.encode_kv(v, half.head_dim, half.kv.type, row + kv_bytes(half.kv.type, values_at + head_at));
  }

  void norm_and_rotate(const PreparedUnit& prepared, const float* weight, std::size_t r,
                       float* head) const noexcept {
    const std::uint32_t n = prepared.unit.attention.head_dim;
    if (mutant(Mutant::norm_after_rope)) {
      rotate(prepared, r, head);
      kernels_.rms_norm(head, weight, n, shape_.norm_eps, head);
      return;
    }
    kernels_.rms_norm(head, weight, n, shape_.norm_eps, head);
    rotate(prepared, r, head);
  }

  void rotate(const PreparedUnit& prepared, std::size_t r, float* head) const noexcept {
    const float* cos = rotation_row(prepared.unit.attention, r);
    kernels_.rotate(cos, cos + prepared.rotated_pairs, prepared.rotated_pairs,
                    prepared.unit.attention.head_dim, head);
  }

  /// A row's cos and sin wait in the buffer of the attention's result, which is not written before they are
  /// used.
  float* rotation_row(const AttentionHalf& half, std::size_t r) const noexcept {
    return scratch_.attended + r * half.heads * half.head_dim;
  }

  /// Copies a row's K and V from staging to the cache, unless a later row of this batch takes the same cell;
  /// a draft's to where they wait.
  void commit_row(const AttentionHalf& half, const MicroBatch& batch, std::size_t r) const noexcept {
    const SequenceRows& sequence = sequence_of(batch, r);
    const std::uint64_t position = position_of(sequence, r);
    const std::uint64_t end = sequence.first_position + sequence.rows - sequence.draft_rows;
    if (position >= end) {
      std::memcpy(draft_row(half.kv, sequence, position - end), scratch_.kv_staging + r * half.kv.row_bytes,
                  half.kv.row_bytes);
      return;
    }
    if (half.kv.cells != 0 && position + half.kv.cells < end) return;
    std::memcpy(half.kv.rows + kv_cell(half.kv, sequence, position) * half.kv.row_bytes,
                scratch_.kv_staging + r * half.kv.row_bytes, half.kv.row_bytes);
  }

  static std::byte* draft_row(const device::KvCache& kv, const SequenceRows& sequence,
                              std::uint64_t draft) noexcept {
    return kv.drafts + (std::uint64_t{sequence.slot} * kv.draft_rows + draft) * kv.row_bytes;
  }

  /// Copies drafts that were accepted to the cache.
  void commit_accepted(Team::Member& member, const MicroBatch& batch) const noexcept {
    const auto accepted = [](const SequenceRows& sequence) { return sequence.accepted_rows > 0; };
    if (std::none_of(batch.sequences, batch.sequences + batch.n_sequences, accepted)) return;
    member.for_each(units_.size() * batch.n_sequences, [&](std::size_t i) {
      const Unit& unit = units_[i / batch.n_sequences].unit;
      const SequenceRows& sequence = batch.sequences[i % batch.n_sequences];
      if (unit.kind != UnitKind::attention) return;
      const device::KvCache& kv = unit.attention.kv;
      for (std::uint32_t draft = 0; draft < sequence.accepted_rows; ++draft) {
        const std::uint64_t position = sequence.first_position - sequence.accepted_rows + draft;
        std::memcpy(kv.rows + kv_cell(kv, sequence, position) * kv.row_bytes, draft_row(kv, sequence, draft),
                    kv.row_bytes);
      }
    });
  }

  void ffn(Team::Member& member, const PreparedUnit& prepared, const MicroBatch& batch) const noexcept {
    const FfnHalf& half = prepared.unit.ffn;
    float* gate = mutant(Mutant::swapped_gate_and_up) ? scratch_.up : scratch_.gate;
    float* up = mutant(Mutant::swapped_gate_and_up) ? scratch_.gate : scratch_.up;
    const Product products[] = {{&half.gate, gate}, {&half.up, up}};
    multiply_all(member, kernels_, {scratch_.normed, scratch_.quantised, shape_.width, batch.rows}, products);
    const std::uint32_t width = half.gate.out;
    const std::size_t pieces = (std::size_t{width} + kGeluPiece - 1) / kGeluPiece;
    const QuantisedLayout layout{width};
    member.for_each(batch.rows * pieces, [&](std::size_t i) {
      const std::size_t r = i / pieces;
      const auto first = static_cast<std::uint32_t>(i % pieces) * kGeluPiece;
      const std::uint32_t n = std::min(kGeluPiece, width - first);
      float* row = scratch_.gate + r * width;
      kernels_.gelu_multiply(row + first, scratch_.up + r * width + first, n);
      if (!prepared.quantise_inner) return;
      kernels_.quantise(row, layout, first, n, scratch_.quantised + r * layout.row_bytes());
    });
    const Product down{&half.down, scratch_.projected};
    multiply_all(member, kernels_, {scratch_.gate, scratch_.quantised, width, batch.rows}, {&down, 1});
  }

  void quantise_row(const float* x, std::uint32_t n, std::size_t r) const noexcept {
    const QuantisedLayout layout{n};
    kernels_.quantise(x, layout, 0, n, scratch_.quantised + r * layout.row_bytes());
  }

  std::vector<PreparedUnit> units_;
  device::StageShape shape_;
  device::Scratch scratch_;
  Team& team_;
  const KernelSet& kernels_;
};

}  // namespace

std::unique_ptr<device::Stage> make_stage(const std::vector<Unit>& units, const device::StageShape& shape,
                                          const device::Scratch& scratch, Team& team,
                                          const KernelSet& kernels) {
  std::vector<PreparedUnit> prepared;
  prepared.reserve(units.size());
  for (const Unit& unit : units) prepared.push_back(prepare(unit, shape));
  return std::make_unique<CpuStage>(std::move(prepared), shape, scratch, team, kernels);
}

}  // namespace tandem::cpu
