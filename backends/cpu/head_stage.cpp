#include <algorithm>
#include <utility>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/operations.h"
#include "backends/cpu/stage.h"

namespace tandem::cpu {
namespace {

/// Logits that one piece of the softcap covers.
constexpr std::size_t kSoftcapPiece = 4096;

class CpuHeadStage final : public device::HeadStage {
 public:
  CpuHeadStage(const device::Embedding& embedding, const device::Head& head, const device::StageShape& shape,
               const device::Scratch& scratch, Team& team, const KernelSet& kernels)
      : embedding_(embedding),
        head_(head),
        shape_(shape),
        scratch_(scratch),
        team_(team),
        kernels_(kernels) {}

  void embed(const std::int32_t* tokens, std::uint32_t rows, float* x) noexcept override {
    team_.run([&](Team::Member& member) {
      member.for_each(rows, [&](std::size_t r) { embed_row(tokens[r], x + r * shape_.width); });
    });
  }

  void logits(const float* x, const std::uint32_t* row_indices, std::uint32_t n,
              float* logits) noexcept override {
    team_.run([&](Team::Member& member) {
      member.for_each(n, [&](std::size_t r) { norm_row(x + std::size_t{row_indices[r]} * shape_.width, r); });
      const Product product{&head_.out, logits};
      multiply_all(member, kernels_, {scratch_.normed, scratch_.quantised, shape_.width, n}, {&product, 1});
      if (head_.softcap != 0.0f) softcap(member, n, logits);
    });
  }

 private:
  void embed_row(std::int32_t token, float* x) const noexcept {
    dequantise_row(embedding_.table, static_cast<std::uint32_t>(token), x);
    for (std::size_t i = 0; i < shape_.width; ++i) x[i] *= embedding_.scale;
  }

  void norm_row(const float* x, std::size_t r) const noexcept {
    float* normed = scratch_.normed + r * shape_.width;
    kernels_.rms_norm(x, head_.norm, shape_.width, shape_.norm_eps, normed);
    if (takes_floats(head_.out.type)) return;
    const QuantisedLayout layout{shape_.width};
    kernels_.quantise(normed, layout, 0, shape_.width, scratch_.quantised + r * layout.row_bytes());
  }

  void softcap(Team::Member& member, std::uint32_t n, float* logits) const noexcept {
    const std::size_t vocab = head_.out.out;
    const std::size_t pieces = (vocab + kSoftcapPiece - 1) / kSoftcapPiece;
    member.for_each(n * pieces, [&](std::size_t i) {
      const std::size_t first = i % pieces * kSoftcapPiece;
      const auto length = static_cast<std::uint32_t>(std::min(kSoftcapPiece, vocab - first));
      kernels_.softcap(logits + i / pieces * vocab + first, length, head_.softcap);
    });
  }

  device::Embedding embedding_;
  device::Head head_;
  device::StageShape shape_;
  device::Scratch scratch_;
  Team& team_;
  const KernelSet& kernels_;
};

}  // namespace

std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                   const device::Head& head, const device::StageShape& shape,
                                                   const device::Scratch& scratch, Team& team,
                                                   const KernelSet& kernels) {
  if (embedding.table.data != nullptr) {
    check_matrix(embedding.table, shape.width, embedding.table.out, "the embedding");
  }
  if (head.out.data != nullptr) check_matrix(head.out, shape.width, head.out.out, "the head");
  return std::make_unique<CpuHeadStage>(embedding, head, shape, scratch, team, kernels);
}

}  // namespace tandem::cpu
