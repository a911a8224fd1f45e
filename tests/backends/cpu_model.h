#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backends/cpu/stage.h"
#include "backends/cpu/team.h"
#include "backends/device.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"

namespace tandem::test_support {

/// The views of a model, open to planted mistakes before stages are made from them.
struct ModelViews {
  std::vector<device::Unit> units;  ///< attention and FFN of each layer, in order
  device::Embedding embedding;
  device::Head head;
  std::deque<std::vector<float>> norms;  ///< what the units' norm pointers point to
  std::vector<double> rope_sliding;
  std::vector<double> rope_global;
};

struct CpuModelOptions {
  device::KvType kv_type = device::KvType::f32;
  bool vector_layout = true;  ///< KvLayout::vector where a layer has no V projection
  std::uint32_t max_seq_len = 64;
  std::uint32_t sequences = 1;
  std::uint32_t micro_batch = 64;
  std::uint32_t pool_pages =
      0;  ///< pages that really exist, reused in turn; 0 = as many as max_seq_len asks for
  std::uint32_t draft_rows = 0;  ///< the most of a sequence
  unsigned threads = 1;
  const cpu::KernelSet* kernels = &cpu::best_kernel_set();
  std::function<void(ModelViews&)> mistake = [](ModelViews&) {};
};

/// Consecutive tokens of one sequence, as part of a micro-batch.
struct Chunk {
  std::uint32_t slot = 0;
  std::uint64_t first_position = 0;
  std::span<const std::int32_t> tokens;
  std::uint64_t first_key = 0;
  std::uint32_t draft_rows = 0;     ///< as in device::SequenceRows
  std::uint32_t accepted_rows = 0;  ///< likewise
};

/// The rows of a micro-batch of chunks, with the page tables of their slots.
struct ChunkRows {
  ChunkRows(std::span<const Chunk> chunks, const std::vector<std::vector<std::uint32_t>>& pages);

  [[nodiscard]] std::uint32_t count() const noexcept { return static_cast<std::uint32_t>(tokens.size()); }
  [[nodiscard]] device::MicroBatch batch() const noexcept {
    return {sequences.data(), static_cast<std::uint32_t>(sequences.size()), count()};
  }
  /// The number of every row.
  [[nodiscard]] std::vector<std::uint32_t> all() const;

  std::vector<device::SequenceRows> sequences;
  std::vector<std::int32_t> tokens;
};

/// What `step` gives for a sequence from position 0 in slot 0, `chunk_tok` tokens a micro-batch.
std::vector<float> in_chunks(std::span<const std::int32_t> tokens, std::size_t chunk_tok,
                             const std::function<std::vector<float>(std::span<const Chunk>)>& step);

/// A whole model on the CPU backend in memory of its own: caches start out as NaN, pages lie in scrambled
/// order, every buffer has exactly the size that device.h gives it.
class CpuModel {
 public:
  CpuModel(const std::string& gguf_name, const CpuModelOptions& options);
  CpuModel(model::Header header, const CpuModelOptions& options);

  /// Runs one micro-batch; logits (rows, vocab) of all its rows.
  std::vector<float> step(std::span<const Chunk> chunks);

  /// A sequence from position 0 in slot 0, `chunk_tok` tokens a micro-batch; logits (tokens, vocab).
  std::vector<float> run(std::span<const std::int32_t> tokens, std::size_t chunk_tok);

  /// The residual stream after the last step, (rows, width).
  [[nodiscard]] const std::vector<float>& residual() const noexcept { return x_; }
  [[nodiscard]] const model::Hyperparameters& hyper() const noexcept { return hyper_; }

 private:
  void make_units(const CpuModelOptions& options);
  device::AttentionHalf make_attention(std::uint32_t layer, const CpuModelOptions& options);
  device::FfnHalf make_ffn(std::uint32_t layer);
  device::KvCache make_cache(const model::LayerSpec& layer, const CpuModelOptions& options);
  device::Matrix matrix(const std::string& name) const;
  const float* norm(const std::string& name);
  void make_pages(const CpuModelOptions& options);
  device::Scratch make_scratch(std::uint32_t rows);
  std::byte* allocate(std::size_t bytes);

  model::Header header_;
  model::Hyperparameters hyper_;
  ModelViews views_;
  cpu::Team team_;
  std::vector<std::vector<std::uint32_t>> pages_;  ///< page table of each slot
  std::deque<std::vector<std::byte>> memory_;
  std::vector<float> x_;
  std::unique_ptr<device::Stage> stage_;
  std::unique_ptr<device::HeadStage> head_stage_;
};

/// Largest absolute difference as a share of the range (largest minus smallest) of `expected`.
double difference_of_range(std::span<const float> actual, std::span<const float> expected);

}  // namespace tandem::test_support
