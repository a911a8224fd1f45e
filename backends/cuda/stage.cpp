#include "backends/cuda/stage.h"

#include <algorithm>
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

class CudaStage final : public device::Stage {
 public:
  CudaStage(std::vector<CheckedUnit> units, const device::StageShape& shape, const device::Scratch& scratch,
            const StepRows& rows, GraphBudget& graphs, Stream& stream)
      : units_(std::move(units)),
        shape_(shape),
        scratch_(scratch),
        rows_(rows),
        graphs_(graphs),
        stream_(stream) {}

  void step(const device::MicroBatch& batch, float* x) override {
    if (units_.empty() || batch.rows == 0) return;
    step_ = rows_;
    if (batch.rows > kDecodeRows || !graphs_.enabled()) return enqueue(x);
    step_.n_rows = row_class(batch.rows, shape_.max_rows);
    const std::size_t missing = std::size_t{step_.n_rows - batch.rows} * shape_.width * sizeof(float);
    if (missing > 0) stream_.fill(x + std::size_t{batch.rows} * shape_.width, 0, missing);
    graphs_.run(stream_, {x, step_.n_rows, step_.context_tok}, [this, x] { enqueue(x); });
  }

 private:
  /// All units, for the rows of step_.
  void enqueue(float* x) {
    begin_first(x);
    for (std::size_t u = 0; u < units_.size(); ++u) {
      if (units_[u].unit.kind == UnitKind::attention) {
        attention(units_[u]);
      } else {
        ffn(units_[u]);
      }
      const CheckedUnit* next = u + 1 < units_.size() ? &units_[u + 1] : nullptr;
      finish_unit(units_[u], next, x);
    }
  }

  std::uint32_t rows() const { return step_.n_rows; }

  QuantisedRows quantised(bool wanted, std::uint32_t width) const {
    return wanted ? QuantisedRows::in_bytes(scratch_.quantised, rows(), width) : QuantisedRows();
  }

  /// The part of a row step that begins `next`.
  void begin(const CheckedUnit& next, RowStep& step) const {
    const bool attends = next.unit.kind == UnitKind::attention;
    step.norm = attends ? next.unit.attention.norm : next.unit.ffn.norm;
    step.normed = scratch_.normed;
    step.quantised = quantised(next.quantise_input, shape_.width);
  }

  void begin_first(float* x) {
    RowStep step;
    step.x = x;
    step.width = shape_.width;
    step.eps = shape_.norm_eps;
    begin(units_.front(), step);
    finish_and_norm(stream_, step, rows());
  }

  void finish_unit(const CheckedUnit& done, const CheckedUnit* next, float* x) {
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

  void ffn(const CheckedUnit& prepared) {
    const FfnHalf& half = prepared.unit.ffn;
    const ProductInput input{scratch_.normed, quantised(prepared.quantise_input, shape_.width), rows()};
    multiply(stream_, half.gate, input, scratch_.gate);
    multiply(stream_, half.up, input, scratch_.up);
    const QuantisedRows inner = quantised(prepared.quantise_inner, half.gate.out);
    gelu_multiply(stream_, scratch_.gate, scratch_.up, inner, rows(), half.gate.out);
    multiply(stream_, half.down, {scratch_.gate, inner, rows()}, scratch_.projected);
  }

  std::vector<CheckedUnit> units_;
  device::StageShape shape_;
  device::Scratch scratch_;
  const StepRows& rows_;
  StepRows step_;  ///< rows_, perhaps with padding
  GraphCache graphs_;
  Stream& stream_;
};

}  // namespace

std::unique_ptr<device::Stage> make_stage(const std::vector<Unit>& units, const device::StageShape& shape,
                                          const device::Scratch& scratch, const StepRows& rows,
                                          GraphBudget& graphs, Stream& stream) {
  std::vector<CheckedUnit> prepared;
  prepared.reserve(units.size());
  for (const Unit& unit : units) prepared.push_back(device::check_unit(kAbilities, unit, shape.width));
  return std::make_unique<CudaStage>(std::move(prepared), shape, scratch, rows, graphs, stream);
}

void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what) {
  device::check_matrix(kAbilities, matrix, in, out, what);
}

}  // namespace tandem::cuda
