#include "planner/footprint.h"

#include <algorithm>

#include "planner/streaming.h"

namespace tandem::planner {
namespace {

ByteCount rope_table_bytes(const model::RopeSpec& rope) {
  return (ByteCount(rope.inv_freq.size()) * sizeof(double)).aligned(kBufferAlignmentBytes);
}

EmbeddingPlan embedding_plan(const ModelInput& model, Device head) {
  const bool tied = model.embedding.bytes == 0;
  return tied ? EmbeddingPlan{head, 0} : EmbeddingPlan{Device::cpu, model.embedding.bytes};
}

/// Collects arena lines and their sums.
class Lines {
 public:
  explicit Lines(Footprint& footprint) : footprint_(&footprint) {}

  void add(Device device, Purpose purpose, ByteCount bytes) {
    if (bytes == 0) return;
    footprint_->arenas.push_back({device, purpose, bytes.value()});
    auto& total = device == Device::cpu ? footprint_->ram_bytes : footprint_->vram_bytes;
    total = (ByteCount(total) + bytes).value();
  }

 private:
  Footprint* footprint_;
};

void add_gpu_lines(Lines& lines, Device gpu, const DeviceLoad& load, const Budget& budget,
                   const MachineProfile& machine) {
  if (load.idle()) return;
  lines.add(gpu, Purpose::weights, load.weights());
  lines.add(gpu, Purpose::head, load.head());
  lines.add(gpu, Purpose::kv, load.kv());
  lines.add(gpu, Purpose::kv_staging, load.kv_staging());
  lines.add(gpu, Purpose::activations, load.activations());
  lines.add(gpu, Purpose::logits, load.logits());
  lines.add(gpu, Purpose::transfer, load.transfer());
  lines.add(gpu, Purpose::graphs, load.graphs());
  if (gpu == Device::cuda0) lines.add(gpu, Purpose::driver, machine.driver_bytes);
  lines.add(gpu, Purpose::reserve, budget.vram_reserve_bytes);
}

/// The GPU of a placement that uses one.
Device gpu_of(const std::vector<StagePlan>& stages) {
  for (const auto& stage : stages) {
    if (stage.device != Device::cpu) return stage.device;
  }
  return Device::cuda0;
}

}  // namespace

std::uint64_t kv_cells(const model::LayerSpec& layer, std::uint64_t max_seq_len) noexcept {
  if (layer.kind == model::LayerKind::global) return max_seq_len;
  return std::min<std::uint64_t>(max_seq_len, layer.window);
}

KvLayout kv_layout(const model::LayerSpec& layer) noexcept {
  return layer.has_v ? KvLayout::separate : KvLayout::vector;
}

ByteCount kv_pages(const Workload& workload) {
  return ByteCount(workload.sequences) * ((workload.max_seq_len + kPageTok - 1) / kPageTok);
}

ByteCount kv_arena_bytes(const model::LayerSpec& layer, const Workload& workload) {
  const ByteCount row = kv_row_bytes(layer, kv_layout(layer), workload.kv_type);
  const auto rows = layer.kind == model::LayerKind::global
                        ? kv_pages(workload) * kPageTok
                        : ByteCount(workload.sequences) * kv_cells(layer, workload.max_seq_len);
  return (rows * row).aligned(kBufferAlignmentBytes);
}

void DeviceLoad::add(UnitRef unit) {
  include(unit);
  const auto size = [this](const UnitWeights& weights) {
    return device_ == Device::cpu ? weights.bytes : weights.copied_bytes;
  };
  switch (unit.kind) {
    case UnitKind::attention:
      tensors_ += size(model_->layers[unit.layer].attention);
      operations_ += recorded_operations(*model_, *workload_, unit);
      add_attention(unit.layer);
      return;
    case UnitKind::ffn:
      tensors_ += size(model_->layers[unit.layer].ffn);
      operations_ += recorded_operations(*model_, *workload_, unit);
      return;
    case UnitKind::head:
      head_ += size(model_->head);
      return;
  }
}

void DeviceLoad::stream(UnitRef ffn) {
  include(ffn);
  streams_ = true;
}

/// Whatever `unit` needs of buffers that units share.
void DeviceLoad::include(UnitRef unit) {
  widths_.include(*model_, unit, device_);
  largest_tensor_bytes_ = std::max(largest_tensor_bytes_, weights_of(*model_, unit).largest_tensor_bytes);
}

void DeviceLoad::add_attention(std::uint32_t index) {
  const auto& layer = model_->hyper.layers[index];
  const ByteCount row = kv_row_bytes(layer, kv_layout(layer), workload_->kv_type);
  kv_ += kv_arena_bytes(layer, *workload_);
  kv_row_sum_ += row;
  kv_row_max_ = std::max(kv_row_max_, row);
  (layer.kind == model::LayerKind::sliding ? rotates_sliding_ : rotates_global_) = true;
}

ByteCount DeviceLoad::rope_tables() const {
  ByteCount bytes;
  if (rotates_sliding_) bytes += rope_table_bytes(model_->hyper.rope_sliding);
  if (rotates_global_) bytes += rope_table_bytes(model_->hyper.rope_global);
  return bytes;
}

ByteCount DeviceLoad::weights() const {
  return tensors_ + rope_tables();
}

ByteCount DeviceLoad::drafts() const {
  return ByteCount(workload_->sequences) * workload_->draft_rows * kv_row_sum_;
}

ByteCount DeviceLoad::chunk() const {
  return (ByteCount(most().rows) * kv_row_max_).aligned(kBufferAlignmentBytes);
}

ByteCount DeviceLoad::kv_staging() const {
  return drafts().aligned(kBufferAlignmentBytes) + chunk();
}

ByteCount DeviceLoad::activations() const {
  return activation_layout(widths_, most()).total_bytes();
}

ByteCount DeviceLoad::logits() const {
  return head_ == 0 ? ByteCount() : logit_bytes(*model_, *workload_);
}

ByteCount DeviceLoad::graphs() const {
  if (device_ == Device::cpu) return {};
  return operations_ * recorded_steps(*workload_) * kGraphOperationBytes;
}

ByteCount DeviceLoad::transfer() const {
  if (device_ == Device::cpu) return {};
  return steps() + (streams_ ? ByteCount(2) * stream_buffer_bytes(*model_) : ByteCount());
}

ByteCount DeviceLoad::steps() const {
  const bool has_head = head_ != 0;
  const bool has_embedding = has_head && model_->embedding.bytes == 0;
  const auto most = this->most();
  const StepCounts counts{most.rows, has_embedding ? most.rows : 0, has_head ? most.logit_rows : 0,
                          rotates_global_ ? kv_pages(*workload_).value() : 0};
  const std::uint64_t choices = has_head ? choice_rows(*workload_) : 0;
  return ByteCount(step_buffer_bytes(counts)) + choice_bytes(choices, choices * kMostEdits);
}

ByteCount DeviceLoad::pinned(Directions<std::uint32_t> crossing_rows) const {
  constexpr std::uint64_t kBuffersPerDirection = 2;
  const auto buffers = [this](std::uint32_t rows) {
    const auto buffer = ByteCount(rows) * model_->hyper.width * sizeof(float);
    return ByteCount(kBuffersPerDirection) * buffer.aligned(kBufferAlignmentBytes);
  };
  return steps() + load_buffer_bytes(largest_tensor_bytes_) + buffers(crossing_rows.to_gpu) +
         buffers(crossing_rows.to_cpu);
}

ByteCount DeviceLoad::shared() const {
  return rope_tables() + chunk() + activations() + logits() + transfer();
}

ByteCount logit_bytes(const ModelInput& model, const Workload& workload) {
  return (ByteCount(logit_rows(workload)) * model.hyper.vocab * sizeof(float)).aligned(kBufferAlignmentBytes);
}

ByteCount mask_bytes(const ModelInput& model, const Workload& workload) {
  return ByteCount(workload.sequences) * answer_mask_bytes(model.hyper.vocab);
}

ByteCount gpu_fixed_bytes(Device gpu, const Budget& budget, const MachineProfile& machine) {
  const ByteCount driver = gpu == Device::cuda0 ? machine.driver_bytes : 0;
  return driver + budget.vram_reserve_bytes;
}

Footprint footprint(const ModelInput& model, const Budget& budget, const Workload& workload,
                    const MachineProfile& machine, const Placement& placement) {
  const auto stages = stages_of(placement);
  const auto gpu = gpu_of(stages);
  DeviceLoad cpu_load(model, workload, Device::cpu);
  DeviceLoad gpu_load(model, workload, gpu);
  for (const auto& stage : stages) {
    auto& load = stage.device == Device::cpu ? cpu_load : gpu_load;
    for (const auto unit : stage.units) load.add(unit);
  }
  const auto streamed = streamed_units(workload, placement);
  for (const auto unit : streamed) gpu_load.stream(unit);
  if (!streamed.empty()) cpu_load.lie_beside_streams();

  Footprint result;
  result.embedding = embedding_plan(model, placement.head);
  const auto crossing = most_crossing_rows(workload, placement, result.embedding.device);
  Lines lines(result);
  lines.add(Device::cpu, Purpose::weights, cpu_load.weights() + result.embedding.bytes);
  lines.add(Device::cpu, Purpose::head, cpu_load.head());
  lines.add(Device::cpu, Purpose::kv, cpu_load.kv());
  lines.add(Device::cpu, Purpose::kv_staging, cpu_load.kv_staging());
  lines.add(Device::cpu, Purpose::activations, cpu_load.activations());
  lines.add(Device::cpu, Purpose::logits, logit_bytes(model, workload) + mask_bytes(model, workload));
  if (!gpu_load.idle()) lines.add(Device::cpu, Purpose::transfer, gpu_load.pinned(crossing));
  lines.add(Device::cpu, Purpose::reserve, budget.ram_reserve_bytes);
  add_gpu_lines(lines, gpu, gpu_load, budget, machine);

  ByteCount tensors = result.embedding.bytes;
  ByteCount cells;
  for (std::size_t i = 0; i < model.layers.size(); ++i) {
    const auto& layer = model.hyper.layers[i];
    tensors += ByteCount(model.layers[i].attention.bytes) + model.layers[i].ffn.bytes;
    cells += ByteCount(kv_cells(layer, workload.max_seq_len)) *
             kv_row_bytes(layer, kv_layout(layer), workload.kv_type) * workload.sequences;
  }
  const auto weights = cpu_load.weights() + gpu_load.weights() + result.embedding.bytes;
  const auto kv = cpu_load.kv() + gpu_load.kv();
  result.weights_overhead_bytes = weights.value() - tensors.value();
  result.kv_pages = {kPageTok, kv_pages(workload).value(), kv.value() - cells.value()};
  return result;
}

}  // namespace tandem::planner
