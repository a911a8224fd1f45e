#include "tests/backends/cuda/placed_model.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "backends/cpu/dequantise.h"
#include "backends/cuda/accelerator.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda_test {
namespace {

using device::Unit;
using device::UnitKind;
using test_support::Chunk;
using test_support::CpuModelOptions;
using test_support::ModelViews;

/// `options` that also say where the views of the model are.
CpuModelOptions with_views(CpuModelOptions options, ModelViews** views) {
  options.mistake = [views](ModelViews& made) { *views = &made; };
  return options;
}

/// An emulated device as an accelerator, and where it is behind that.
std::unique_ptr<device::Accelerator> make_accelerator(const cuda::emulation::Options& emulated,
                                                      cuda::Device::State** state) {
  cuda::Device device = open_test_device(emulated);
  *state = &device.state();
  return cuda::make_accelerator(std::move(device));
}

bool is_on_device(const Placement& placement, std::size_t unit) {
  return (placement.units >> unit & 1) != 0;
}

bool is_streamed(const Placement& placement, const std::vector<Unit>& units, std::size_t unit) {
  return units[unit].kind == UnitKind::ffn && (placement.streamed >> unit & 1) != 0;
}

}  // namespace

PlacedModel::PlacedModel(const std::string& gguf_name, const CpuModelOptions& options,
                         const Placement& placement, const cuda::emulation::Options& emulated)
    : host_(gguf_name, with_views(options, &views_)),
      team_(options.threads),
      shape_{host_.hyper().width, host_.hyper().norm_eps, options.micro_batch},
      accelerator_(make_accelerator(emulated, &device_)) {
  const std::uint32_t page_tok = 4;  // as in CpuModel
  const std::uint32_t pages = (options.max_seq_len + page_tok - 1) / page_tok;
  for (std::uint32_t s = 0; s < options.sequences; ++s) {
    auto& table = pages_.emplace_back(pages);
    for (std::uint32_t i = 0; i < pages; ++i) table[i] = (pages - 1 - i) * options.sequences + s;
  }
  constexpr std::uint64_t kLoadBytes = 1 << 16;
  accelerator_->set_load_buffer(accelerator_->allocate_pinned(kLoadBytes), kLoadBytes);
  device::StepBuffers buffers;
  buffers.bytes = std::size_t{options.micro_batch} * 80 + std::size_t{options.sequences} * pages * 4 + 512;
  buffers.on_device = accelerator_->allocate(buffers.bytes);
  buffers.pinned = accelerator_->allocate_pinned(buffers.bytes);
  buffers.embedded_rows = options.micro_batch;
  buffers.logit_rows = options.micro_batch;
  accelerator_->set_step_buffers(buffers);
  accelerator_->set_graph_limit(placement.graph_limit_bytes);
  const std::size_t x_bytes = std::size_t{options.micro_batch} * shape_.width * sizeof(float);
  const std::size_t logits_bytes = std::size_t{options.micro_batch} * host_.hyper().vocab * sizeof(float);
  x_on_device_ = reinterpret_cast<float*>(accelerator_->allocate(x_bytes));
  pinned_x_ = reinterpret_cast<float*>(accelerator_->allocate_pinned(x_bytes));
  logits_on_device_ = reinterpret_cast<float*>(accelerator_->allocate(logits_bytes));
  pinned_logits_ = reinterpret_cast<float*>(accelerator_->allocate_pinned(logits_bytes));
  make_head(*views_, placement.head);
  make_stages(placement, options);
}

std::vector<float> PlacedModel::step(std::span<const Chunk> chunks) {
  const test_support::ChunkRows chunk_rows(chunks, pages_);
  const auto rows = chunk_rows.count();
  const auto batch = chunk_rows.batch();
  x_.assign(std::size_t{rows} * shape_.width, NAN);
  accelerator_->begin(batch);
  bool on_device = head_on_device_;
  head_->embed(chunk_rows.tokens.data(), rows, on_device ? x_on_device_ : x_.data());
  for (const auto& placed : stages_) {
    if (placed.on_device != on_device) carry(placed.on_device, rows);
    on_device = placed.on_device;
    placed.stage->step(batch, on_device ? x_on_device_ : x_.data());
  }
  if (head_on_device_ != on_device) carry(head_on_device_, rows);
  const auto indices = chunk_rows.all();
  std::vector<float> logits(std::size_t{rows} * host_.hyper().vocab, NAN);
  if (!head_on_device_) {
    head_->logits(x_.data(), indices.data(), rows, logits.data());
    return logits;
  }
  head_->logits(x_on_device_, indices.data(), rows, logits_on_device_);
  accelerator_->receive(pinned_logits_, logits_on_device_, logits.size() * sizeof(float));
  std::memcpy(logits.data(), pinned_logits_, logits.size() * sizeof(float));
  return logits;
}

std::vector<float> PlacedModel::run(std::span<const std::int32_t> tokens, std::size_t chunk_tok) {
  return test_support::in_chunks(tokens, chunk_tok,
                                 [this](std::span<const Chunk> chunks) { return step(chunks); });
}

void PlacedModel::carry(bool to_device, std::uint32_t rows) {
  const std::size_t bytes = std::size_t{rows} * shape_.width * sizeof(float);
  if (to_device) {
    accelerator_->wait();
    std::memcpy(pinned_x_, x_.data(), bytes);
    accelerator_->send(x_on_device_, pinned_x_, bytes);
  } else {
    accelerator_->receive(pinned_x_, x_on_device_, bytes);
    std::memcpy(x_.data(), pinned_x_, bytes);
  }
}

void PlacedModel::make_stages(const Placement& placement, const CpuModelOptions& options) {
  const auto& units = views_->units;
  const auto device_scratch = make_scratch(units, true);
  const auto host_scratch = make_scratch(units, false);
  if (placement.streamed != 0) make_stream_buffers();
  for (std::size_t first = 0; first < units.size();) {
    const bool on_device = is_on_device(placement, first);
    std::vector<Unit> stage;
    for (; first < units.size() && is_on_device(placement, first) == on_device; ++first) {
      const bool streamed = on_device && is_streamed(placement, units, first);
      stage.push_back(on_device && !streamed ? upload(units[first], options) : units[first]);
      stage.back().streamed = streamed;
    }
    if (on_device) {
      stages_.push_back({true, accelerator_->make_stage(stage.data(), stage.size(), shape_, device_scratch)});
      if (!placement.records_ahead) continue;
      stages_.back().stage->record(x_on_device_, options.sequences, options.max_seq_len);
    } else {
      stages_.push_back({false, cpu::make_stage(stage, shape_, host_scratch, team_)});
    }
  }
}

/// As large as they have to be; pinned ones so small that every matrix is cut.
void PlacedModel::make_stream_buffers() {
  device::StreamBuffers buffers;
  for (const Unit& unit : views_->units) {
    for (const auto* matrix : {&unit.ffn.gate, &unit.ffn.up, &unit.ffn.down}) {
      const std::uint64_t bytes = cpu::row_bytes(matrix->type, matrix->in) * matrix->out;
      buffers.bytes =
          std::max(buffers.bytes, (bytes + 63) / 64 * 64 + std::uint64_t{shape_.width} * sizeof(float));
    }
  }
  buffers.pinned_bytes = 2048;
  for (auto& buffer : buffers.on_device) buffer = accelerator_->allocate(buffers.bytes);
  buffers.pinned = accelerator_->allocate_pinned(buffers.pinned_bytes);
  accelerator_->set_stream_buffers(buffers);
}

void PlacedModel::make_head(const ModelViews& views, bool on_device) {
  head_on_device_ = on_device;
  if (!on_device) {
    head_ =
        cpu::make_head_stage(views.embedding, views.head, shape_, make_scratch(views.units, false), team_);
    return;
  }
  device::Head head = views.head;
  head.norm = upload(head.norm, shape_.width);
  head.out = upload(head.out);
  device::Embedding embedding = views.embedding;
  embedding.table = head.out;  // tied
  head_ = accelerator_->make_head_stage(embedding, head, shape_, make_scratch(views.units, true));
}

Unit PlacedModel::upload(const Unit& unit, const CpuModelOptions& options) {
  Unit on_device = unit;
  if (unit.kind == UnitKind::ffn) {
    device::FfnHalf& half = on_device.ffn;
    half.norm = upload(half.norm, shape_.width);
    half.post_norm = upload(half.post_norm, shape_.width);
    half.gate = upload(half.gate);
    half.up = upload(half.up);
    half.down = upload(half.down);
    return on_device;
  }
  device::AttentionHalf& half = on_device.attention;
  half.norm = upload(half.norm, shape_.width);
  half.post_norm = upload(half.post_norm, shape_.width);
  half.q_norm = upload(half.q_norm, half.head_dim);
  half.k_norm = upload(half.k_norm, half.head_dim);
  half.inv_freq = upload(half.inv_freq, half.head_dim / 2);
  half.q = upload(half.q);
  half.k = upload(half.k);
  if (half.v.data != nullptr) half.v = upload(half.v);
  half.out = upload(half.out);
  const std::size_t rows = half.kv.cells != 0 ? std::size_t{half.kv.cells} * options.sequences
                                              : pages_[0].size() * options.sequences * half.kv.page_tok;
  half.kv.rows = allocate(rows * half.kv.row_bytes, true);
  if (half.kv.draft_rows > 0) {
    half.kv.drafts = allocate(std::size_t{options.sequences} * half.kv.draft_rows * half.kv.row_bytes, true);
  }
  return on_device;
}

device::Matrix PlacedModel::upload(const device::Matrix& matrix) {
  device::Matrix on_device = matrix;
  std::byte* memory = allocate(cpu::row_bytes(matrix.type, matrix.in) * matrix.out, true);
  accelerator_->upload_rows(memory, matrix, 0, matrix.out,
                            [&](std::uint64_t at, std::byte* to, std::uint64_t bytes) {
                              std::memcpy(to, static_cast<const std::byte*>(matrix.data) + at, bytes);
                            });
  on_device.data = memory;
  return on_device;
}

template <class T>
const T* PlacedModel::upload(const T* values, std::size_t n) {
  std::byte* memory = allocate(n * sizeof(T), true);
  accelerator_->upload(memory, values, n * sizeof(T));
  return reinterpret_cast<const T*>(memory);
}

device::Scratch PlacedModel::make_scratch(const std::vector<Unit>& units, bool on_device) {
  std::size_t q = 0, kv = 0, ffn = 0, kv_row = 0;
  for (const Unit& unit : units) {
    const device::AttentionHalf& half = unit.attention;
    q = std::max(q, std::size_t{half.heads} * half.head_dim);
    kv = std::max(kv, std::size_t{half.kv_heads} * half.head_dim);
    kv_row = std::max<std::size_t>(kv_row, half.kv.row_bytes);
    ffn = std::max<std::size_t>(ffn, unit.ffn.gate.out);
  }
  const std::size_t widest = std::max({std::size_t{shape_.width}, q, ffn});
  const std::size_t rows = shape_.max_rows;
  const auto floats = [&](std::size_t elems) {
    return reinterpret_cast<float*>(allocate(rows * elems * sizeof(float), on_device));
  };
  device::Scratch scratch;
  scratch.normed = floats(shape_.width);
  scratch.projected = floats(shape_.width);
  scratch.q = floats(q);
  scratch.k = floats(kv);
  scratch.v = floats(kv);
  scratch.attended = floats(q);
  scratch.gate = floats(ffn);
  scratch.up = floats(ffn);
  scratch.quantised = allocate(rows * (widest + 31) / 32 * 40, on_device);
  scratch.kv_staging = allocate(rows * kv_row, on_device);
  return scratch;
}

std::byte* PlacedModel::allocate(std::size_t bytes, bool on_device) {
  if (on_device) return accelerator_->allocate(bytes);
  return memory_.emplace_back(bytes, std::byte{0xff}).data();
}

}  // namespace tandem::cuda_test
