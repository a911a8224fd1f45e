#include "backends/cuda/stage.h"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "backends/cuda/attend.h"
#include "backends/cuda/heads.h"
#include "backends/cuda/multiply.h"
#include "backends/cuda/plane_layout.h"
#include "backends/cuda/rows.h"

namespace tandem::cuda {
namespace {

using device::AttentionHalf;
using device::FfnHalf;
using device::Unit;
using device::UnitKind;

constexpr std::uint32_t kMaxHeadDim = 512;
constexpr std::uint32_t kHeadDimStep = 16;
constexpr std::uint32_t kMostSplits = 64;

void require(bool holds, const Unit& unit, const char* what) {
  if (holds) return;
  throw std::invalid_argument("CUDA stage: layer " + std::to_string(unit.layer) + ": " + what);
}

/// Bytes of `elems` elements in a KV cache.
std::size_t kv_bytes(device::KvType type, std::size_t elems) {
  if (type == device::KvType::f32) return elems * 4;
  if (type == device::KvType::f16) return elems * 2;
  return elems / 32 * 34;
}

void check_attention(const Unit& unit, const device::StageShape& shape) {
  const AttentionHalf& half = unit.attention;
  require(half.head_dim > 0 && half.head_dim % kHeadDimStep == 0 && half.head_dim <= kMaxHeadDim, unit,
          "head_dim must be a multiple of 16 and at most 512");
  require(half.kv_heads > 0 && half.heads > 0 && half.heads % half.kv_heads == 0, unit,
          "heads must be a multiple of kv_heads");
  require(half.kv.layout != device::KvLayout::vector_rotated, unit,
          "KV layout vector_rotated is not implemented on CUDA");
  require(half.kv.layout == device::KvLayout::separate || half.v.data == nullptr, unit,
          "KV layout vector needs a layer without V projection");
  require(half.kv.type != device::KvType::q8_0 || half.head_dim % 32 == 0, unit,
          "a q8_0 cache needs head_dim in multiples of 32");
  const std::size_t vectors = half.kv.layout == device::KvLayout::separate ? 2 : 1;
  require(half.kv.row_bytes == vectors * kv_bytes(half.kv.type, std::size_t{half.kv_heads} * half.head_dim),
          unit, "the KV row has the wrong size");
  require(half.window == 0 ? half.kv.page_tok > 0 : half.kv.cells > 0, unit, "the KV cache has no cells");
  check_matrix(half.q, shape.width, half.heads * half.head_dim, "attn_q");
  check_matrix(half.k, shape.width, half.kv_heads * half.head_dim, "attn_k");
  if (half.v.data != nullptr) check_matrix(half.v, shape.width, half.kv_heads * half.head_dim, "attn_v");
  check_matrix(half.out, half.heads * half.head_dim, shape.width, "attn_output");
}

void check_ffn(const Unit& unit, const device::StageShape& shape) {
  const FfnHalf& half = unit.ffn;
  check_matrix(half.gate, shape.width, half.gate.out, "ffn_gate");
  check_matrix(half.up, shape.width, half.gate.out, "ffn_up");
  check_matrix(half.down, half.gate.out, shape.width, "ffn_down");
}

bool wants_quantised(std::initializer_list<const device::Matrix*> matrices) {
  return std::any_of(matrices.begin(), matrices.end(), [](const device::Matrix* matrix) {
    return matrix->data != nullptr && !takes_floats(matrix->type);
  });
}

/// A unit and what follows from its shape.
struct PreparedUnit {
  Unit unit;
  bool quantise_input = false;  ///< of the first products
  bool quantise_inner = false;  ///< of Wo or Wdown
};

class CudaStage final : public device::Stage {
 public:
  CudaStage(std::vector<PreparedUnit> units, const device::StageShape& shape, const device::Scratch& scratch,
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
      const PreparedUnit* next = u + 1 < units_.size() ? &units_[u + 1] : nullptr;
      finish_unit(units_[u], next, x);
    }
  }

  std::uint32_t rows() const { return step_.n_rows; }

  QuantisedRows quantised(bool wanted, std::uint32_t width) const {
    return wanted ? QuantisedRows::in_bytes(scratch_.quantised, rows(), width) : QuantisedRows();
  }

  /// The part of a row step that begins `next`.
  void begin(const PreparedUnit& next, RowStep& step) const {
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

  void finish_unit(const PreparedUnit& done, const PreparedUnit* next, float* x) {
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

  void attention(const PreparedUnit& prepared) {
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

  AttendStep attend_step(const PreparedUnit& prepared) const {
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

  void ffn(const PreparedUnit& prepared) {
    const FfnHalf& half = prepared.unit.ffn;
    const ProductInput input{scratch_.normed, quantised(prepared.quantise_input, shape_.width), rows()};
    multiply(stream_, half.gate, input, scratch_.gate);
    multiply(stream_, half.up, input, scratch_.up);
    const QuantisedRows inner = quantised(prepared.quantise_inner, half.gate.out);
    gelu_multiply(stream_, scratch_.gate, scratch_.up, inner, rows(), half.gate.out);
    multiply(stream_, half.down, {scratch_.gate, inner, rows()}, scratch_.projected);
  }

  std::vector<PreparedUnit> units_;
  device::StageShape shape_;
  device::Scratch scratch_;
  const StepRows& rows_;
  StepRows step_;  ///< rows_, perhaps with padding
  GraphCache graphs_;
  Stream& stream_;
};

PreparedUnit prepare(const Unit& unit, const device::StageShape& shape) {
  if (unit.kind == UnitKind::ffn) {
    check_ffn(unit, shape);
    return {unit, wants_quantised({&unit.ffn.gate, &unit.ffn.up}), wants_quantised({&unit.ffn.down})};
  }
  check_attention(unit, shape);
  const AttentionHalf& half = unit.attention;
  return {unit, wants_quantised({&half.q, &half.k, &half.v}), wants_quantised({&half.out})};
}

}  // namespace

std::unique_ptr<device::Stage> make_stage(const std::vector<Unit>& units, const device::StageShape& shape,
                                          const device::Scratch& scratch, const StepRows& rows,
                                          GraphBudget& graphs, Stream& stream) {
  std::vector<PreparedUnit> prepared;
  prepared.reserve(units.size());
  for (const Unit& unit : units) prepared.push_back(prepare(unit, shape));
  return std::make_unique<CudaStage>(std::move(prepared), shape, scratch, rows, graphs, stream);
}

void check_matrix(const device::Matrix& matrix, std::uint32_t in, std::uint32_t out, const char* what) {
  const std::string where = std::string("CUDA stage: ") + what;
  if (matrix.data == nullptr) throw std::invalid_argument(where + " is absent");
  if (matrix.in != in || matrix.out != out) {
    throw std::invalid_argument(where + " is " + std::to_string(matrix.in) + " x " +
                                std::to_string(matrix.out) + ", expected " + std::to_string(in) + " x " +
                                std::to_string(out));
  }
  const PlaneLayout layout = plane_layout(matrix.type);
  if (layout.block_elems == 0) {
    throw std::invalid_argument(where + " has block type " +
                                std::to_string(static_cast<std::uint32_t>(matrix.type)) +
                                ", which the CUDA backend does not know");
  }
  const std::uint32_t step = takes_floats(matrix.type) ? 16 / layout.block_bytes : layout.block_elems;
  if (in % step != 0) {
    throw std::invalid_argument(where + " has rows of " + std::to_string(in) +
                                " elements, not a multiple of " + std::to_string(step));
  }
}

}  // namespace tandem::cuda
