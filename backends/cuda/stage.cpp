#include "backends/cuda/stage.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "backends/cuda/attend.h"
#include "backends/cuda/heads.h"
#include "backends/cuda/multiply.h"
#include "backends/cuda/plane_layout.h"
#include "backends/cuda/rows.h"
#include "backends/unit_checks.h"

namespace tandem::cuda {
namespace {

using device::AttentionHalf;
using device::CheckedUnit;
using device::FfnHalf;
using device::Unit;
using device::UnitKind;

constexpr std::uint32_t kMaxHeadDim = 512;
constexpr std::uint32_t kHeadDimStep = 16;
constexpr std::uint32_t kMostSplits = 64;

/// Rows of float types are read in whole sixteen bytes.
std::uint32_t row_step(device::BlockType type) {
  const PlaneLayout layout = plane_layout(type);
  return takes_floats(type) ? 16 / layout.block_bytes : layout.block_elems;
}

constexpr device::Abilities kAbilities{"CUDA", kHeadDimStep, kMaxHeadDim, row_step};

/// Matrices of an FFN half in the order in which a streamed one wants them.
enum FfnPiece : std::size_t { kGate, kUp, kDown };

/// A unit; of a streamed one, the matrices and norms are where they were brought last.
struct StageUnit : CheckedUnit {
  std::size_t first_piece = 0;  ///< of its pieces in the WeightStream, FfnPiece after FfnPiece
};

StageUnit prepare(const Unit& unit, std::uint32_t width, WeightStream& weights) {
  if (unit.streamed && unit.kind != UnitKind::ffn) {
    throw std::invalid_argument("CUDA stage: only FFN halves can be streamed");
  }
  StageUnit prepared{device::check_unit(kAbilities, unit, width)};
  if (!unit.streamed) return prepared;
  prepared.first_piece = weights.add({unit.ffn.gate, unit.ffn.norm, width});
  weights.add({unit.ffn.up, nullptr, 0});
  weights.add({unit.ffn.down, unit.ffn.post_norm, width});
  return prepared;
}

class CudaStage final : public device::Stage {
 public:
  CudaStage(std::vector<StageUnit> units, const device::StageShape& shape, const device::Scratch& scratch,
            const StepRows& rows, GraphBudget& graphs, WeightStream& weights, Stream& stream)
      : units_(std::move(units)),
        streams_(std::any_of(units_.begin(), units_.end(),
                             [](const StageUnit& unit) { return unit.unit.streamed; })),
        shape_(shape),
        scratch_(scratch),
        rows_(rows),
        graphs_(graphs),
        weights_(weights),
        stream_(stream) {}

  void step(const device::MicroBatch& batch, float* x) override {
    if (units_.empty() || batch.rows == 0) return;
    step_ = rows_;
    if (batch.rows > kDecodeRows || !graphs_.enabled() || streams_) {
      begin_first(x);
      return enqueue(x);
    }
    step_.n_rows = row_class(batch.rows, shape_.max_rows);
    const std::size_t missing = std::size_t{step_.n_rows - batch.rows} * shape_.width * sizeof(float);
    if (missing > 0) stream_.fill(x + std::size_t{batch.rows} * shape_.width, 0, missing);
    begin_first(x);
    graphs_.run(stream_, {x, step_.n_rows, step_.context_tok}, [this, x] { enqueue(x); });
  }

  void record(float* x, std::uint32_t rows, std::uint64_t context_tok) override {
    const std::uint32_t most_rows = std::min(rows, kDecodeRows);
    if (most_rows == 0) graphs_.close();
    if (units_.empty() || streams_ || most_rows == 0) return;
    step_ = rows_;
    for (step_.context_tok = kSmallestContext;; step_.context_tok *= 2) {
      for (std::uint32_t some_rows = 1;; some_rows *= 2) {
        step_.n_rows = row_class(std::min(some_rows, most_rows), shape_.max_rows);
        graphs_.capture(stream_, {x, step_.n_rows, step_.context_tok}, [this, x] { enqueue(x); });
        if (some_rows >= most_rows) break;
      }
      if (step_.context_tok >= context_tok) break;
    }
    graphs_.close();
  }

 private:
  /// All units, for the rows of step_, after `begin_first`.
  void enqueue(float* x) {
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].unit.kind == UnitKind::attention) {
        attention(units_[u]);
      } else {
        ffn(units_[u]);
      }
      StageUnit* next = u + 1 < units_.size() ? &units_[u + 1] : nullptr;
      finish_unit(units_[u], next, x);
    }
    if (streams_) weights_.bring_next();
  }

  /// Has a matrix of a streamed half on the device, and the norm that comes with it.
  void bring(StageUnit& unit, FfnPiece piece) {
    if (!unit.unit.streamed) return;
    const PieceOnDevice there = weights_.bring(unit.first_piece + piece, stream_);
    FfnHalf& half = unit.unit.ffn;
    (piece == kGate ? half.gate : piece == kUp ? half.up : half.down).data = there.matrix;
    if (piece == kGate) half.norm = there.norm;
    if (piece == kDown) half.post_norm = there.norm;
  }

  void let_go(const StageUnit& unit, FfnPiece piece) {
    if (unit.unit.streamed) weights_.let_go(unit.first_piece + piece, stream_);
  }

  std::uint32_t rows() const { return step_.n_rows; }

  QuantisedRows quantised(bool wanted, std::uint32_t width) const {
    return wanted ? QuantisedRows::in_bytes(scratch_.quantised, rows(), width) : QuantisedRows();
  }

  /// The part of a row step that begins `next`.
  void begin(StageUnit& next, RowStep& step) {
    bring(next, kGate);
    const bool attends = next.unit.kind == UnitKind::attention;
    step.norm = attends ? next.unit.attention.norm : next.unit.ffn.norm;
    step.normed = scratch_.normed;
    step.quantised = quantised(next.quantise_input, shape_.width);
  }

  /// The norm before the first unit.  No graph has it: so what is recorded of a unit does not depend on
  /// where stages begin, and a plan can count it unit by unit.
  void begin_first(float* x) {
    RowStep step;
    step.x = x;
    step.width = shape_.width;
    step.eps = shape_.norm_eps;
    begin(units_.front(), step);
    finish_and_norm(stream_, step, rows());
  }

  void finish_unit(const StageUnit& done, StageUnit* next, float* x) {
    const bool attends = done.unit.kind == UnitKind::attention;
    RowStep step;
    step.x = x;
    step.projected = scratch_.projected;
    step.post_norm = attends ? done.unit.attention.post_norm : done.unit.ffn.post_norm;
    step.scale = attends ? 1.0f : done.unit.ffn.output_scale;
    step.width = shape_.width;
    step.eps = shape_.norm_eps;
    if (next != nullptr) begin(*next, step);
    finish_and_norm(stream_, step, rows());
    let_go(done, kDown);
  }

  void attention(const CheckedUnit& prepared) {
    const AttentionHalf& half = prepared.unit.attention;
    const ProductInput input{scratch_.normed, quantised(prepared.quantise_input, shape_.width), rows()};
    multiply(stream_, half.q, input, scratch_.q);
    multiply(stream_, half.k, input, scratch_.k);
    if (half.v.data != nullptr) multiply(stream_, half.v, input, scratch_.v);

    HeadStep heads;
    heads.half = half;
    heads.eps = shape_.norm_eps;
    heads.step = step_;
    heads.q = scratch_.q;
    heads.k = scratch_.k;
    heads.v = half.v.data != nullptr ? scratch_.v : nullptr;
    heads.staging = scratch_.kv_staging;
    finish_heads(stream_, heads);
    commit_accepted(stream_, half.kv, step_);
    attend(stream_, attend_step(prepared));
    commit_rows(stream_, heads);

    const std::uint32_t attended = half.heads * half.head_dim;
    const QuantisedRows inner = quantised(prepared.quantise_inner, attended);
    if (prepared.quantise_inner) quantise(stream_, scratch_.attended, inner, rows(), attended);
    multiply(stream_, half.out, {scratch_.attended, inner, rows()}, scratch_.projected);
  }

  AttendStep attend_step(const CheckedUnit& prepared) const {
    const AttentionHalf& half = prepared.unit.attention;
    AttendStep step;
    step.half = half;
    step.step = step_;
    step.q = scratch_.q;
    step.staging = scratch_.kv_staging;
    step.out = scratch_.attended;
    // Parts of results wait where Wo's product goes afterwards.
    step.parts = scratch_.projected;
    const std::uint64_t part_floats = std::uint64_t{kDecodeRows} * half.heads * (half.head_dim + 2);
    const std::uint64_t room = std::uint64_t{shape_.max_rows} * shape_.width / part_floats;
    step.max_splits = static_cast<std::uint32_t>(std::min<std::uint64_t>(room, kMostSplits));
    return step;
  }

  void ffn(StageUnit& prepared) {
    const FfnHalf& half = prepared.unit.ffn;
    const ProductInput input{scratch_.normed, quantised(prepared.quantise_input, shape_.width), rows()};
    multiply(stream_, half.gate, input, scratch_.gate);
    let_go(prepared, kGate);
    bring(prepared, kUp);
    multiply(stream_, half.up, input, scratch_.up);
    let_go(prepared, kUp);
    const QuantisedRows inner = quantised(prepared.quantise_inner, half.gate.out);
    gelu_multiply(stream_, scratch_.gate, scratch_.up, inner, rows(), half.gate.out);
    bring(prepared, kDown);
    multiply(stream_, half.down, {scratch_.gate, inner, rows()}, scratch_.projected);
  }

  std::vector<StageUnit> units_;
  bool streams_;  ///< some unit is streamed
  device::StageShape shape_;
  device::Scratch scratch_;
  const StepRows& rows_;
  StepRows step_;  ///< rows_, perhaps with padding
  GraphCache graphs_;
  WeightStream& weights_;
  Stream& stream_;
};

}  // namespace

std::unique_ptr<device::Stage> make_stage(const std::vector<Unit>& units, const device::StageShape& shape,
                                          const device::Scratch& scratch, const StepRows& rows,
                                          GraphBudget& graphs, WeightStream& weights, Stream& stream) {
  std::vector<StageUnit> prepared;
  prepared.reserve(units.size());
  for (const Unit& unit : units) prepared.push_back(prepare(unit, shape.width, weights));
  return std::make_unique<CudaStage>(std::move(prepared), shape, scratch, rows, graphs, weights, stream);
}

void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what) {
  device::check_matrix(kAbilities, matrix, in, out, what);
}

}  // namespace tandem::cuda
