#include "memory/bind.h"

#include <algorithm>
#include <stdexcept>
#include <utility>

#include "memory/errors.h"
#include "memory/kv_cache.h"
#include "memory/vram_at_start.h"
#include "model/tensor_names.h"
#include "planner/activations.h"
#include "planner/errors.h"
#include "planner/head_type.h"
#include "planner/json_reader.h"
#include "planner/plan_consistency.h"
#include "planner/streaming.h"

namespace tandem::memory {
namespace {

using model::layer_tensor;
using planner::Device;
using planner::Purpose;

std::span<float> floats(std::span<std::byte> bytes) noexcept {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

/// Refuses what cannot be executed for this model, or with what is there.
void check(const planner::Plan& plan, const model::Header& header, const model::Hyperparameters& hyper,
           const device::Accelerator* accelerator) {
  if (!plan.fits) {
    throw planner::BadPlan("plan: fits: false", "allow more memory, or ask for a shorter context");
  }
  for (const auto& line : plan.arenas) {
    if (line.device == Device::cpu || accelerator != nullptr) continue;
    throw planner::BadPlan("plan: arenas: there is no " + std::string(planner::to_string(line.device)),
                           "plan with --devices cpu");
  }
  try {
    planner::check_consistency(plan);
  } catch (const planner::BadField& field) {
    throw planner::BadPlan(std::string("plan: ") + field.what());
  } catch (const planner::BadQuestion& question) {
    throw planner::BadPlan(std::string("plan: ") + question.what(), question.hint());
  }
  planner::check_plan(plan, planner::model_input(header, hyper));
}

/// Lines of a plan that nothing is allocated for: the driver's own, with the graphs that it keeps, and what
/// stays free on purpose.
bool is_left_alone(Purpose purpose) noexcept {
  return purpose == Purpose::reserve || purpose == Purpose::driver || purpose == Purpose::graphs;
}

std::uint64_t table_bytes(const model::RopeSpec& rope) noexcept {
  constexpr auto kAlignment = planner::kBufferAlignmentBytes;
  return (rope.inv_freq.size() * sizeof(double) + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

/// The tensors of one arena as its device reads them.
struct BoundPlan::Tensors {
  BoundPlan& bound;
  Arena& arena;
  device::Accelerator* accelerator;  ///< null on the CPU

  [[nodiscard]] device::Matrix matrix(std::string_view name) const {
    if (accelerator != nullptr) return bound.weights_.matrix_on(*accelerator, name, arena);
    const auto repacked = bound.repacked_.find(name);
    if (repacked == bound.repacked_.end()) return bound.weights_.matrix(name, arena);
    return bound.weights_.repacked(*bound.repacker_, name, repacked->second);
  }
  [[nodiscard]] const float* vector(std::string_view name) const {
    return accelerator == nullptr ? bound.weights_.vector(name, arena)
                                  : bound.weights_.vector_on(*accelerator, name, arena);
  }
  [[nodiscard]] device::Matrix quantised(std::string_view name, model::TensorType type) const {
    return accelerator == nullptr ? bound.weights_.quantised(name, type, arena, bound.repacker_)
                                  : bound.weights_.quantised_on(*accelerator, name, type, arena);
  }
};

BoundPlan::BoundPlan(planner::Plan plan, model::Header header, model::Hyperparameters hyper,
                     device::Accelerator* accelerator, const device::Repacker* repacker)
    : plan_(std::move(plan)),
      hyper_(std::move(hyper)),
      model_(planner::with_head_type(planner::model_input(header, hyper_), plan_.workload.head_type)),
      accelerator_(accelerator),
      repacker_(plan_.workload.cpu_weights == planner::CpuWeights::repacked ? repacker : nullptr),
      weights_(std::move(header)) {
  check(plan_, weights_.header(), hyper_, accelerator_);
  allocate();
  bind_transfer();
  bind_stages();
  bind_head();
  bind_working_memory(Device::cpu, cpu_);
  if (const auto gpu = planner::gpu_of(plan_)) bind_working_memory(*gpu, on_accelerator_);
  logits_ = plan_.head.device == Device::cpu ? cpu_.logits : take_logits(Device::cpu);
  while (masks_.size() < plan_.workload.sequences) {
    masks_.push_back(arena(Device::cpu, Purpose::logits).take(planner::answer_mask_bytes(hyper_.vocab)));
  }
  check_ledger();
}

device::StageShape BoundPlan::shape() const noexcept {
  return {hyper_.width, hyper_.norm_eps, planner::most_rows(plan_.workload).rows};
}

std::vector<LedgerLine> BoundPlan::ledger() const {
  std::vector<LedgerLine> lines;
  for (const auto& line : plan_.arenas) {
    const auto held = std::ranges::find_if(arenas_, [&line](const Arena& arena) {
      return arena.device() == line.device && arena.purpose() == line.purpose;
    });
    if (held != arenas_.end()) {
      lines.push_back(held->ledger_line());
    } else {
      // Nothing else may take what is set aside for graphs.
      const bool graphs = line.purpose == Purpose::graphs;
      const auto driver_bytes = line.purpose == Purpose::driver ? driver_bytes_ : 0;
      lines.push_back({line.device, line.purpose, line.bytes, graphs ? line.bytes : driver_bytes,
                       graphs ? accelerator_->graph_bytes() : driver_bytes});
    }
  }
  return lines;
}

void BoundPlan::load(const Progress& progress, unsigned threads) {
  threads = std::max(threads, 1U);
  std::uint64_t arena_bytes = 0;
  for (const auto& arena : arenas_) arena_bytes += arena.prefaulted_bytes();
  const auto total_bytes = weights_.text_bytes() + arena_bytes;
  const auto report = [&](std::uint64_t done_bytes) {
    if (progress) progress(done_bytes, total_bytes);
  };

  std::uint64_t done_bytes = 0;
  for (const auto& arena : arenas_) {
    arena.prefault(threads);
    done_bytes += arena.prefaulted_bytes();
    report(done_bytes);
  }
  weights_.load(quantised_rows_, threads,
                [&](std::uint64_t read_bytes, std::uint64_t) { report(done_bytes + read_bytes); });
  if (accelerator_ == nullptr) return;
  accelerator_->wait();
  accelerator_->set_load_buffer(nullptr, 0);
}

VramUse BoundPlan::vram_use() const {
  VramUse use;
  use.taken_bytes = free_before_bytes_ - std::min(free_before_bytes_, accelerator_->memory().free_bytes);
  use.allocated_bytes = accelerator_->graph_bytes();
  for (const auto& arena : arenas_) {
    if (arena.device() == Device::cpu) continue;
    use.allocated_bytes += arena.own_bytes();
    ++use.allocations;
  }
  return use;
}

Arena* BoundPlan::find(Device device, Purpose purpose) {
  const auto held = std::ranges::find_if(
      arenas_, [&](const Arena& arena) { return arena.device() == device && arena.purpose() == purpose; });
  return held == arenas_.end() ? nullptr : &*held;
}

Arena& BoundPlan::arena(Device device, Purpose purpose) {
  if (auto* const held = find(device, purpose)) return *held;
  throw PlanViolated("arena " + std::string(planner::to_string(purpose)) + " on " +
                     std::string(planner::to_string(device)) + ": not planned");
}

void BoundPlan::allocate() {
  if (accelerator_ != nullptr) check_free_memory();
  for (const auto& line : plan_.arenas) {
    if (!is_left_alone(line.purpose)) arenas_.push_back(allocated(line));
  }
}

void BoundPlan::check_free_memory() {
  const auto vram = vram_at_start(plan_, accelerator_->memory());
  driver_bytes_ = vram.driver_bytes;
  free_before_bytes_ = vram.free_bytes;
  if (!vram.enough()) throw OutOfMemory(vram.shortage(), "plan with a smaller --vram");
}

Arena BoundPlan::allocated(const planner::ArenaPlan& line) {
  if (line.device != Device::cpu) return Arena::lent(line, accelerator_->allocate(line.bytes));
  const bool pinned = line.purpose == Purpose::transfer ||
                      (line.purpose == Purpose::logits && plan_.head.device != Device::cpu);
  if (pinned) return Arena::lent(line, accelerator_->allocate_pinned(line.bytes));
  if (line.purpose == Purpose::weights) {
    return around_file(line, rope_table_bytes(line.device), repacked_weights(plan_, weights_, repacker_));
  }
  if (line.purpose == Purpose::head) {
    return around_file(line, quantised_head_bytes(), repacked_head(plan_, weights_, repacker_));
  }
  return Arena::host(line);
}

/// An arena whose own memory is `own_bytes`, whole buffers, and `repacked` tensors behind them.
Arena BoundPlan::around_file(const planner::ArenaPlan& line, std::uint64_t own_bytes,
                             const std::vector<RepackedTensor>& repacked) {
  const auto repacked_bytes = total_bytes(repacked);
  auto around = Arena::around_file(line, own_bytes + repacked_bytes);
  auto* to = around.take_last(repacked_bytes).data();
  for (const auto& tensor : repacked) {
    repacked_[tensor.name] = to;
    to += tensor.bytes;
  }
  repacked_bytes_ += repacked_bytes;
  return around;
}

std::uint64_t BoundPlan::rope_table_bytes(Device device) const {
  std::map<model::LayerKind, std::uint64_t> tables;
  for (std::size_t i = 0; i < plan_.layers.size(); ++i) {
    if (plan_.layers[i].attention_device != device) continue;
    tables[hyper_.layers[i].kind] = table_bytes(hyper_.rope(hyper_.layers[i]));
  }
  std::uint64_t bytes = 0;
  for (const auto& table : tables) bytes += table.second;
  return bytes;
}

std::uint64_t BoundPlan::quantised_head_bytes() const {
  if (plan_.head.type == plan_.head.file_type) return 0;
  return plan_.head.bytes - weights_.size_bytes(model::kOutputNorm);
}

void BoundPlan::bind_transfer() {
  const auto gpu = planner::gpu_of(plan_);
  if (!gpu) return;
  auto& pinned = arena(Device::cpu, Purpose::transfer);
  const auto load_buffer = pinned.take(planner::load_buffer_bytes(plan_, model_));
  const bool quantises = plan_.head.device != Device::cpu && plan_.head.type != plan_.head.file_type;
  quantised_rows_ = load_buffer.first(quantises ? load_buffer.size() / 4 : 0);
  accelerator_->set_load_buffer(load_buffer.data() + quantised_rows_.size(),
                                load_buffer.size() - quantised_rows_.size());
  const auto steps = planner::most_step_counts(plan_);
  const auto step_bytes = planner::step_buffer_bytes(steps);
  accelerator_->set_step_buffers({arena(*gpu, Purpose::transfer).take(step_bytes).data(),
                                  pinned.take(step_bytes).data(), step_bytes, steps.embedded_rows,
                                  steps.logit_rows});
  if (!planner::streamed_units(plan_).empty()) bind_streaming(*gpu, load_buffer);
  if (plan_.head.device != Device::cpu) {
    choices_ = take_choices(pinned);
    choices_on_accelerator_ = take_choices(arena(*gpu, Purpose::transfer));
  }
  const auto take = [&](std::uint32_t rows, std::array<std::span<float>, 2>& buffers) {
    if (rows == 0) return;
    for (auto& buffer : buffers)
      buffer = floats(pinned.take(std::uint64_t{rows} * hyper_.width * sizeof(float)));
  };
  const auto rows =
      planner::most_crossing_rows(plan_.workload, planner::placement_of(plan_), plan_.embedding.device);
  take(rows.to_gpu, crossing_.to_accelerator);
  take(rows.to_cpu, crossing_.to_cpu);
}

/// Nothing streams before all is loaded, so the way there is the same one.
void BoundPlan::bind_streaming(Device gpu, std::span<std::byte> pinned) {
  device::StreamBuffers buffers;
  buffers.bytes = planner::stream_buffer_bytes(model_).value();
  buffers.pinned = pinned.data();
  buffers.pinned_bytes = pinned.size();
  for (auto& buffer : buffers.on_device) buffer = arena(gpu, Purpose::transfer).take(buffers.bytes).data();
  accelerator_->set_stream_buffers(buffers);
}

device::Unit BoundPlan::unit(planner::UnitRef unit, Device device) const {
  const auto kind =
      unit.kind == planner::UnitKind::attention ? device::UnitKind::attention : device::UnitKind::ffn;
  for (const auto& stage : stages_) {
    for (auto bound : stage.units) {
      if (bound.kind != kind || bound.layer != unit.layer) continue;
      bound.streamed = stage.device != device;
      return bound;
    }
  }
  throw std::out_of_range("no such unit is bound");
}

BoundPlan::Tensors BoundPlan::tensors_of(Device device, Purpose purpose) {
  return {*this, arena(device, purpose), device == Device::cpu ? nullptr : accelerator_};
}

/// The rotation frequencies of layers of `kind`, on `device`.
const double* BoundPlan::rope_table(Device device, model::LayerKind kind) {
  auto& table = rope_tables_[{device, kind}];
  if (table != nullptr) return table;
  const auto& frequencies =
      (kind == model::LayerKind::sliding ? hyper_.rope_sliding : hyper_.rope_global).inv_freq;
  const auto bytes = arena(device, Purpose::weights).take(frequencies.size() * sizeof(double));
  auto* copy = reinterpret_cast<double*>(bytes.data());
  if (device == Device::cpu) {
    std::ranges::copy(frequencies, copy);
  } else {
    accelerator_->upload(bytes.data(), frequencies.data(), bytes.size());
  }
  return table = copy;
}

void BoundPlan::bind_stages() {
  for (const auto& stage : plan_.stages) {
    BoundStage bound{stage.device, {}};
    for (const auto& unit : stage.units) {
      if (unit.kind == planner::UnitKind::head) continue;
      const bool attends = unit.kind == planner::UnitKind::attention;
      device::Unit& added = bound.units.emplace_back();
      added.kind = attends ? device::UnitKind::attention : device::UnitKind::ffn;
      added.layer = unit.layer;
      if (attends) {
        added.attention = attention_half(unit.layer);
      } else {
        added.ffn = ffn_half(unit.layer);
      }
    }
    if (!bound.units.empty()) stages_.push_back(std::move(bound));
  }
}

device::AttentionHalf BoundPlan::attention_half(std::uint32_t layer) {
  const auto device = plan_.layers[layer].attention_device;
  const auto tensors = tensors_of(device, Purpose::weights);
  const auto& spec = hyper_.layers[layer];
  const auto matrix = [&](const char* stem) { return tensors.matrix(layer_tensor(layer, stem)); };
  const auto vector = [&](const char* stem) { return tensors.vector(layer_tensor(layer, stem)); };

  device::AttentionHalf half;
  half.norm = vector("attn_norm");
  half.post_norm = vector("post_attention_norm");
  half.q_norm = vector("attn_q_norm");
  half.k_norm = vector("attn_k_norm");
  half.q = matrix("attn_q");
  half.k = matrix("attn_k");
  if (spec.has_v) half.v = matrix("attn_v");
  half.out = matrix("attn_output");
  half.inv_freq = rope_table(device, spec.kind);
  half.heads = spec.heads;
  half.kv_heads = spec.kv_heads;
  half.head_dim = spec.head_dim;
  half.window = spec.window;
  half.attention_scale = spec.attention_scale;
  half.v_norm = hyper_.v_norm;
  half.kv = take_kv(arena(device, Purpose::kv), plan_, plan_.layers[layer]);
  half.kv.draft_rows = plan_.workload.draft_rows;
  if (half.kv.draft_rows > 0) half.kv.drafts = take_drafts(device, half.kv.row_bytes);
  return half;
}

/// Bytes of the drafts of all layers on `device`.
std::uint64_t BoundPlan::draft_bytes(Device device) const {
  std::uint64_t row_bytes = 0;
  for (const auto& layer : plan_.layers) {
    if (layer.kv_device == device) row_bytes += layer.kv_bytes / layer.kv_cells;
  }
  return std::uint64_t{plan_.workload.sequences} * plan_.workload.draft_rows * row_bytes;
}

/// Where drafts of a layer wait; layers lie one after the other without gaps.
std::byte* BoundPlan::take_drafts(Device device, std::uint64_t row_bytes) {
  auto& left = drafts_left_[device];
  if (left.empty()) left = arena(device, Purpose::kv_staging).take(draft_bytes(device));
  auto* const taken = left.data();
  left = left.subspan(std::size_t{plan_.workload.sequences} * plan_.workload.draft_rows * row_bytes);
  return taken;
}

device::FfnHalf BoundPlan::ffn_half(std::uint32_t layer) {
  const auto tensors = tensors_of(plan_.layers[layer].ffn_device, Purpose::weights);
  const auto matrix = [&](const char* stem) { return tensors.matrix(layer_tensor(layer, stem)); };
  const auto vector = [&](const char* stem) { return tensors.vector(layer_tensor(layer, stem)); };

  device::FfnHalf half;
  half.norm = vector("ffn_norm");
  half.post_norm = vector("post_ffw_norm");
  half.gate = matrix("ffn_gate");
  half.up = matrix("ffn_up");
  half.down = matrix("ffn_down");
  const auto scale = layer_tensor(layer, "layer_output_scale");
  if (weights_.contains(scale)) {
    static_cast<void>(tensors.vector(scale));
    half.output_scale = weights_.number(scale);
  }
  return half;
}

void BoundPlan::bind_head() {
  const auto head = tensors_of(plan_.head.device, Purpose::head);
  embedding_.scale = hyper_.embedding_scale;
  head_.norm = head.vector(model::kOutputNorm);
  head_.softcap = hyper_.final_softcap;
  const auto head_matrix = [&](std::string_view name) {
    if (plan_.head.type == plan_.head.file_type) return head.matrix(name);
    const auto quantised = head.quantised(name, model::tensor_type_from_name(plan_.head.type).value());
    if (quantised.layout != device::WeightLayout::rows) repacked_bytes_ += quantised_head_bytes();
    return quantised;
  };
  if (weights_.contains(model::kOutput)) {
    head_.out = head_matrix(model::kOutput);
    embedding_.table = tensors_of(plan_.embedding.device, Purpose::weights).matrix(model::kTokenEmbedding);
  } else {
    head_.out = head_matrix(model::kTokenEmbedding);
    embedding_.table = head_.out;
  }
}

void BoundPlan::bind_working_memory(Device device, WorkingMemory& memory) {
  auto* const activations = find(device, Purpose::activations);
  if (activations == nullptr) return;  // no unit is here
  auto units = planner::units_on(plan_, device);
  if (device != Device::cpu) {
    for (const auto unit : planner::streamed_units(plan_)) units.push_back(unit);
  }
  const auto layout = planner::activation_layout(model_, units, device, planner::most_rows(plan_, device));
  const auto take = [&](std::uint64_t bytes) { return floats(activations->take(bytes)).data(); };

  memory.residual = floats(activations->take(layout.residual_bytes));
  memory.scratch.normed = take(layout.normed_bytes);
  memory.scratch.projected = take(layout.projected_bytes);
  memory.scratch.q = take(layout.q_bytes);
  memory.scratch.k = take(layout.k_bytes);
  memory.scratch.v = take(layout.v_bytes);
  memory.scratch.attended = take(layout.attended_bytes);
  memory.scratch.gate = take(layout.gate_bytes);
  memory.scratch.up = take(layout.up_bytes);
  memory.scratch.quantised = activations->take(layout.quantised_bytes).data();
  if (auto* const staging = find(device, Purpose::kv_staging)) {
    constexpr auto kAlignment = planner::kBufferAlignmentBytes;
    const auto drafts = (draft_bytes(device) + kAlignment - 1) / kAlignment * kAlignment;
    memory.scratch.kv_staging = staging->take(staging->own_bytes() - drafts).data();
  }
  if (device == plan_.head.device) memory.logits = take_logits(device);
}

std::span<float> BoundPlan::take_logits(Device device) {
  const auto rows = planner::logit_rows(plan_.workload);
  return floats(arena(device, Purpose::logits).take(std::uint64_t{rows} * hyper_.vocab * sizeof(float)));
}

ChoiceMemory BoundPlan::take_choices(Arena& transfer) const {
  const std::uint64_t rows = planner::choice_rows(plan_.workload);
  const auto take = [&transfer]<class T>(std::uint64_t n, T*) {
    return std::span<T>(reinterpret_cast<T*>(transfer.take(n * sizeof(T)).data()), n);
  };
  static_assert(planner::kCandidatesBytes == device::kMostCandidates * sizeof(device::Candidate));
  static_assert(planner::kEditBytes == sizeof(device::TokenEdit));
  ChoiceMemory choices;
  choices.unusable = take(rows, static_cast<std::uint32_t*>(nullptr));
  choices.candidates = take(rows * device::kMostCandidates, static_cast<device::Candidate*>(nullptr));
  choices.edits = take(rows * planner::kMostEdits, static_cast<device::TokenEdit*>(nullptr));
  return choices;
}

void BoundPlan::check_ledger() const {
  for (const auto& line : ledger()) {
    if (line.balances() && (is_left_alone(line.purpose) || line.used_bytes == line.planned_bytes)) continue;
    throw PlanViolated("arena " + std::string(planner::to_string(line.purpose)) + ": " +
                       std::to_string(line.planned_bytes) + " bytes planned, " +
                       std::to_string(line.allocated_bytes) + " allocated, " +
                       std::to_string(line.used_bytes) + " used");
  }
}

}  // namespace tandem::memory
