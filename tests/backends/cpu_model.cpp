#include "tests/backends/cpu_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <random>
#include <utility>

#include "backends/cpu/kv_rows.h"
#include "backends/cpu/quantised_row.h"
#include "model/tensor_names.h"
#include "tests/support/fixture.h"

namespace tandem::test_support {
namespace {

/// Small, so that even tiny models cross pages.
constexpr std::uint32_t kPageTok = 4;

/// Pages a sequence needs in all, and pages of the pool behind them.
std::size_t pages_of(const CpuModelOptions& options) {
  return (std::size_t{options.max_seq_len} + kPageTok - 1) / kPageTok;
}

std::size_t pool_of(const CpuModelOptions& options) {
  return options.pool_pages != 0 ? options.pool_pages : pages_of(options) * options.sequences;
}

}  // namespace

ChunkRows::ChunkRows(std::span<const Chunk> chunks, const std::vector<std::vector<std::uint32_t>>& pages) {
  for (const Chunk& chunk : chunks) {
    const auto rows = static_cast<std::uint32_t>(chunk.tokens.size());
    sequences.push_back({chunk.slot, count(), rows, chunk.first_position, chunk.first_key,
                         pages.at(chunk.slot).data(), chunk.draft_rows, chunk.accepted_rows});
    tokens.insert(tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
  }
}

std::vector<std::uint32_t> ChunkRows::all() const {
  std::vector<std::uint32_t> rows(count());
  std::iota(rows.begin(), rows.end(), 0U);
  return rows;
}

std::vector<float> in_chunks(std::span<const std::int32_t> tokens, std::size_t chunk_tok,
                             const std::function<std::vector<float>(std::span<const Chunk>)>& step) {
  std::vector<float> all;
  for (std::size_t at = 0; at < tokens.size(); at += chunk_tok) {
    const Chunk chunk{0, at, tokens.subspan(at, std::min(chunk_tok, tokens.size() - at))};
    const std::vector<float> logits = step({&chunk, 1});
    all.insert(all.end(), logits.begin(), logits.end());
  }
  return all;
}

CpuModel::CpuModel(const std::string& gguf_name, const CpuModelOptions& options)
    : CpuModel(model::read_header(reference_path(gguf_name)), options) {}

CpuModel::CpuModel(model::Header header, const CpuModelOptions& options)
    : header_(std::move(header)), hyper_(model::read_hyperparameters(header_)), team_(options.threads) {
  make_pages(options);
  make_units(options);
  options.mistake(views_);
  const device::StageShape shape{hyper_.width, hyper_.norm_eps, options.micro_batch};
  const device::Scratch scratch = make_scratch(options.micro_batch);
  stage_ = cpu::make_stage(views_.units, shape, scratch, team_, *options.kernels);
  head_stage_ = cpu::make_head_stage(views_.embedding, views_.head, shape, scratch, team_, *options.kernels);
}

std::vector<float> CpuModel::step(std::span<const Chunk> chunks) {
  const ChunkRows chunk_rows(chunks, pages_);
  const auto rows = chunk_rows.count();
  x_.assign(std::size_t{rows} * hyper_.width, NAN);
  head_stage_->embed(chunk_rows.tokens.data(), rows, x_.data());
  stage_->step(chunk_rows.batch(), x_.data());
  const auto indices = chunk_rows.all();
  std::vector<float> logits(std::size_t{rows} * hyper_.vocab, NAN);
  head_stage_->logits(x_.data(), indices.data(), rows, logits.data());
  return logits;
}

std::vector<float> CpuModel::run(std::span<const std::int32_t> tokens, std::size_t chunk_tok) {
  return in_chunks(tokens, chunk_tok, [this](std::span<const Chunk> chunks) { return step(chunks); });
}

void CpuModel::make_units(const CpuModelOptions& options) {
  views_.rope_sliding = hyper_.rope_sliding.inv_freq;
  views_.rope_global = hyper_.rope_global.inv_freq;
  for (std::uint32_t layer = 0; layer < hyper_.layers.size(); ++layer) {
    device::Unit attention;
    attention.kind = device::UnitKind::attention;
    attention.layer = layer;
    attention.attention = make_attention(layer, options);
    device::Unit ffn;
    ffn.kind = device::UnitKind::ffn;
    ffn.layer = layer;
    ffn.ffn = make_ffn(layer);
    views_.units.push_back(attention);
    views_.units.push_back(ffn);
  }
  views_.embedding = {matrix(std::string(model::kTokenEmbedding)), hyper_.embedding_scale};
  views_.head = {norm(std::string(model::kOutputNorm)), views_.embedding.table, hyper_.final_softcap};
}

device::AttentionHalf CpuModel::make_attention(std::uint32_t layer, const CpuModelOptions& options) {
  const model::LayerSpec& spec = hyper_.layers[layer];
  const auto named = [&](const char* stem) { return model::layer_tensor(layer, stem); };
  device::AttentionHalf half;
  half.norm = norm(named("attn_norm"));
  half.post_norm = norm(named("post_attention_norm"));
  half.q_norm = norm(named("attn_q_norm"));
  half.k_norm = norm(named("attn_k_norm"));
  half.q = matrix(named("attn_q"));
  half.k = matrix(named("attn_k"));
  if (spec.has_v) half.v = matrix(named("attn_v"));
  half.out = matrix(named("attn_output"));
  half.inv_freq =
      spec.kind == model::LayerKind::sliding ? views_.rope_sliding.data() : views_.rope_global.data();
  half.heads = spec.heads;
  half.kv_heads = spec.kv_heads;
  half.head_dim = spec.head_dim;
  half.window = spec.window;
  half.attention_scale = spec.attention_scale;
  half.v_norm = hyper_.v_norm;
  half.kv = make_cache(spec, options);
  return half;
}

device::FfnHalf CpuModel::make_ffn(std::uint32_t layer) {
  const auto named = [&](const char* stem) { return model::layer_tensor(layer, stem); };
  device::FfnHalf half;
  half.norm = norm(named("ffn_norm"));
  half.post_norm = norm(named("post_ffw_norm"));
  half.gate = matrix(named("ffn_gate"));
  half.up = matrix(named("ffn_up"));
  half.down = matrix(named("ffn_down"));
  const std::string scale = named("layer_output_scale");
  if (header_.find_tensor(scale) != nullptr) half.output_scale = *norm(scale);
  return half;
}

device::KvCache CpuModel::make_cache(const model::LayerSpec& layer, const CpuModelOptions& options) {
  device::KvCache kv;
  kv.type = options.kv_type;
  kv.layout = !layer.has_v && options.vector_layout ? device::KvLayout::vector : device::KvLayout::separate;
  const std::size_t vectors = kv.layout == device::KvLayout::separate ? 2 : 1;
  kv.row_bytes = vectors * cpu::kv_bytes(kv.type, std::size_t{layer.kv_heads} * layer.head_dim);
  std::size_t rows = 0;
  if (layer.kind == model::LayerKind::sliding) {
    kv.cells = std::min(options.max_seq_len, layer.window);
    rows = std::size_t{kv.cells} * options.sequences;
  } else {
    kv.page_tok = kPageTok;
    rows = pool_of(options) * kPageTok;
  }
  kv.rows = allocate(rows * kv.row_bytes);
  kv.draft_rows = options.draft_rows;
  if (kv.draft_rows > 0) {
    kv.drafts = allocate(std::size_t{options.sequences} * kv.draft_rows * kv.row_bytes);
  }
  return kv;
}

device::Matrix CpuModel::matrix(const std::string& name) const {
  const model::TensorInfo* tensor = header_.find_tensor(name);
  if (tensor == nullptr) return {};
  return {header_.data(*tensor).data(), static_cast<device::BlockType>(tensor->type),
          static_cast<std::uint32_t>(tensor->dims[0]), static_cast<std::uint32_t>(tensor->dims[1])};
}

const float* CpuModel::norm(const std::string& name) {
  const std::span<const std::byte> data = header_.data(*header_.find_tensor(name));
  std::vector<float>& copy = views_.norms.emplace_back(data.size() / sizeof(float));
  std::memcpy(copy.data(), data.data(), data.size());
  return copy.data();
}

void CpuModel::make_pages(const CpuModelOptions& options) {
  std::vector<std::uint32_t> pool(pool_of(options));
  std::iota(pool.begin(), pool.end(), 0u);
  std::shuffle(pool.begin(), pool.end(), std::mt19937(1));
  const std::size_t each = pages_of(options);
  pages_.resize(options.sequences);
  for (std::size_t i = 0; i < each * options.sequences; ++i)
    pages_[i / each].push_back(pool[i % pool.size()]);
}

device::Scratch CpuModel::make_scratch(std::uint32_t rows) {
  std::size_t q = 0, kv = 0, ffn = 0, kv_row = 0;
  for (std::size_t i = 0; i < hyper_.layers.size(); ++i) {
    const model::LayerSpec& layer = hyper_.layers[i];
    q = std::max(q, std::size_t{layer.heads} * layer.head_dim);
    kv = std::max(kv, std::size_t{layer.kv_heads} * layer.head_dim);
    ffn = std::max<std::size_t>(ffn, layer.ffn_width);
    kv_row = std::max<std::size_t>(kv_row, views_.units[2 * i].attention.kv.row_bytes);
  }
  const std::size_t widest = std::max({std::size_t{hyper_.width}, q, ffn});
  const auto floats = [&](std::size_t elems) {
    return reinterpret_cast<float*>(allocate(rows * elems * sizeof(float)));
  };
  device::Scratch scratch;
  scratch.normed = floats(hyper_.width);
  scratch.projected = floats(hyper_.width);
  scratch.q = floats(q);
  scratch.k = floats(kv);
  scratch.v = floats(kv);
  scratch.attended = floats(q);
  scratch.gate = floats(ffn);
  scratch.up = floats(ffn);
  scratch.quantised = allocate(rows * (widest + 31) / 32 * 40);
  scratch.kv_staging = allocate(rows * kv_row);
  return scratch;
}

std::byte* CpuModel::allocate(std::size_t bytes) {
  return memory_.emplace_back(bytes, std::byte{0xff}).data();
}

double difference_of_range(std::span<const float> actual, std::span<const float> expected) {
  const auto [low, high] = std::minmax_element(expected.begin(), expected.end());
  const double range = double{*high} - *low;
  if (actual.size() != expected.size() || !(range > 0)) return std::numeric_limits<double>::infinity();
  double largest = 0;
  for (std::size_t i = 0; i < actual.size(); ++i) {
    const double difference = std::abs(double{actual[i]} - expected[i]);
    if (!(difference <= largest)) largest = difference;  // NaN counts as a difference
  }
  return std::isnan(largest) ? std::numeric_limits<double>::infinity() : largest / range;
}

}  // namespace tandem::test_support
