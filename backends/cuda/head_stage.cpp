#include "backends/cuda/head_stage.h"

#include <cstring>
#include <stdexcept>
#include <string>

#include "backends/cuda/embed.h"
#include "backends/cuda/multiply.h"
#include "backends/cuda/rows.h"
#include "backends/cuda/stage.h"

namespace tandem::cuda {
namespace {

class CudaHeadStage final : public device::HeadStage {
 public:
  CudaHeadStage(const device::Embedding& embedding, const device::Head& head, const device::StageShape& shape,
                const device::Scratch& scratch, const NumberBuffers& tokens, const NumberBuffers& indices,
                Stream& stream)
      : embedding_(embedding),
        head_(head),
        shape_(shape),
        scratch_(scratch),
        tokens_(tokens),
        indices_(indices),
        stream_(stream) {}

  void embed(const std::int32_t* tokens, std::uint32_t rows, float* x) override {
    tokens_.send(stream_, tokens, rows);
    cuda::embed(stream_, embedding_, reinterpret_cast<const std::int32_t*>(tokens_.on_device), rows, x);
  }

  void logits(const float* x, const std::uint32_t* row_indices, std::uint32_t n, float* logits) override {
    if (n == 0) return;
    indices_.send(stream_, row_indices, n);
    RowStep step;
    step.x = const_cast<float*>(x);  // without a residual addition it is only read
    step.norm = head_.norm;
    step.normed = scratch_.normed;
    step.row_indices = indices_.on_device;
    step.width = shape_.width;
    step.eps = shape_.norm_eps;
    if (!takes_floats(head_.out.type)) {
      step.quantised = QuantisedRows::in_bytes(scratch_.quantised, n, shape_.width);
    }
    finish_and_norm(stream_, step, n);
    multiply(stream_, head_.out, {scratch_.normed, step.quantised, n}, logits);
    if (head_.softcap != 0.0f) softcap(stream_, logits, std::uint64_t{n} * head_.out.out, head_.softcap);
  }

 private:
  device::Embedding embedding_;
  device::Head head_;
  device::StageShape shape_;
  device::Scratch scratch_;
  NumberBuffers tokens_;
  NumberBuffers indices_;
  Stream& stream_;
};

}  // namespace

void NumberBuffers::send(Stream& stream, const void* numbers, std::uint32_t count) const {
  if (count > n) {
    throw std::runtime_error("CUDA head: " + std::to_string(count) + " rows, room for " + std::to_string(n));
  }
  std::memcpy(pinned, numbers, count * sizeof *pinned);
  stream.copy_to_device(on_device, pinned, count * sizeof *pinned);
}

std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                   const device::Head& head, const device::StageShape& shape,
                                                   const device::Scratch& scratch,
                                                   const NumberBuffers& tokens, const NumberBuffers& indices,
                                                   Stream& stream) {
  if (embedding.table.data != nullptr) {
    check_matrix(embedding.table, shape.width, embedding.table.out, "the embedding");
  }
  if (head.out.data != nullptr) check_matrix(head.out, shape.width, head.out.out, "the head");
  return std::make_unique<CudaHeadStage>(embedding, head, shape, scratch, tokens, indices, stream);
}

}  // namespace tandem::cuda
