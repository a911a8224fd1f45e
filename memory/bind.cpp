#include "memory/bind.h"

#include <algorithm>
#include <utility>

#include "memory/errors.h"
#include "memory/kv_cache.h"
#include "model/tensor_names.h"
#include "planner/activations.h"
#include "planner/errors.h"
#include "planner/json_reader.h"
#include "planner/model_input.h"
#include "planner/plan_consistency.h"

namespace tandem::memory {
namespace {

using model::layer_tensor;
using planner::Purpose;

std::span<float> floats(std::span<std::byte> bytes) noexcept {
  return {reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)};
}

/// Refuses what this build cannot execute for this model.
void check(const planner::Plan& plan, const model::Header& header, const model::Hyperparameters& hyper) {
  if (!plan.fits) {
    throw planner::BadPlan("plan: fits: false", "allow more memory, or ask for a shorter context");
  }
  for (const auto& line : plan.arenas) {
    if (line.device == planner::Device::cpu) continue;
    throw planner::BadPlan(
        "plan: arenas: this build has no backend for " + std::string(planner::to_string(line.device)),
        "plan with --devices cpu");
  }
  if (plan.workload.draft_rows != 0) throw planner::BadPlan("plan: workload.draft_rows: nothing drafts yet");
  try {
    planner::check_consistency(plan);
  } catch (const planner::BadField& field) {
    throw planner::BadPlan(std::string("plan: ") + field.what());
  } catch (const planner::BadQuestion& question) {
    throw planner::BadPlan(std::string("plan: ") + question.what(), question.hint());
  }
  planner::check_plan(plan, planner::model_input(header, hyper));
}

/// A copy of `rope`'s frequencies.
const double* take_table(Arena& arena, const model::RopeSpec& rope) {
  const auto bytes = arena.take(rope.inv_freq.size() * sizeof(double));
  auto* table = reinterpret_cast<double*>(bytes.data());
  std::ranges::copy(rope.inv_freq, table);
  return table;
}

}  // namespace

BoundPlan::BoundPlan(planner::Plan plan, model::Header header, model::Hyperparameters hyper)
    : plan_(std::move(plan)), hyper_(std::move(hyper)), weights_(std::move(header)) {
  check(plan_, weights_.header(), hyper_);
  allocate();
  bind_rope_tables();
  bind_stages();
  bind_head();
  bind_buffers();
  check_ledger();
}

device::StageShape BoundPlan::shape() const noexcept {
  return {hyper_.width, hyper_.norm_eps, plan_.workload.micro_batch};
}

std::vector<LedgerLine> BoundPlan::ledger() const {
  std::vector<LedgerLine> lines;
  for (const auto& line : plan_.arenas) {
    const auto held = std::ranges::find(arenas_, line.purpose, &Arena::purpose);
    lines.push_back(held == arenas_.end() ? LedgerLine{line.device, line.purpose, line.bytes, 0, 0}
                                          : held->ledger_line());
  }
  return lines;
}

void BoundPlan::prefault(const Progress& progress) const {
  std::uint64_t arena_bytes = 0;
  for (const auto& arena : arenas_) arena_bytes += arena.own_bytes();
  const auto total_bytes = weights_.text_bytes() + arena_bytes;
  const auto report = [&](std::uint64_t done_bytes) {
    if (progress) progress(done_bytes, total_bytes);
  };

  std::uint64_t done_bytes = 0;
  for (const auto& arena : arenas_) {
    arena.prefault();
    done_bytes += arena.own_bytes();
    report(done_bytes);
  }
  weights_.prefault([&](std::uint64_t read_bytes, std::uint64_t) { report(done_bytes + read_bytes); });
}

Arena& BoundPlan::arena(Purpose purpose) {
  const auto held = std::ranges::find(arenas_, purpose, &Arena::purpose);
  if (held == arenas_.end()) {
    throw PlanViolated("arena " + std::string(planner::to_string(purpose)) + ": not planned");
  }
  return *held;
}

void BoundPlan::allocate() {
  for (const auto& line : plan_.arenas) {
    if (line.purpose == Purpose::reserve) continue;  // left free on purpose
    if (line.purpose == Purpose::weights) {
      arenas_.push_back(Arena::around_file(line, plan_.weights_overhead_bytes));
    } else if (line.purpose == Purpose::head) {
      arenas_.push_back(Arena::around_file(line, quantised_head_bytes()));
    } else {
      arenas_.push_back(Arena::host(line));
    }
  }
}

std::uint64_t BoundPlan::quantised_head_bytes() const {
  if (plan_.head.type == plan_.head.file_type) return 0;
  return plan_.head.bytes - weights_.size_bytes(model::kOutputNorm);
}

void BoundPlan::bind_rope_tables() {
  for (const auto& layer : hyper_.layers) {
    const bool sliding = layer.kind == model::LayerKind::sliding;
    auto& table = sliding ? inv_freq_sliding_ : inv_freq_global_;
    if (table == nullptr) table = take_table(arena(Purpose::weights), hyper_.rope(layer));
  }
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
  auto& weights = arena(Purpose::weights);
  const auto& spec = hyper_.layers[layer];
  const auto matrix = [&](const char* stem) { return weights_.matrix(layer_tensor(layer, stem), weights); };
  const auto vector = [&](const char* stem) { return weights_.vector(layer_tensor(layer, stem), weights); };

  device::AttentionHalf half;
  half.norm = vector("attn_norm");
  half.post_norm = vector("post_attention_norm");
  half.q_norm = vector("attn_q_norm");
  half.k_norm = vector("attn_k_norm");
  half.q = matrix("attn_q");
  half.k = matrix("attn_k");
  if (spec.has_v) half.v = matrix("attn_v");
  half.out = matrix("attn_output");
  half.inv_freq = spec.kind == model::LayerKind::sliding ? inv_freq_sliding_ : inv_freq_global_;
  half.heads = spec.heads;
  half.kv_heads = spec.kv_heads;
  half.head_dim = spec.head_dim;
  half.window = spec.window;
  half.attention_scale = spec.attention_scale;
  half.v_norm = hyper_.v_norm;
  half.kv = take_kv(arena(Purpose::kv), plan_, plan_.layers[layer]);
  return half;
}

device::FfnHalf BoundPlan::ffn_half(std::uint32_t layer) {
  auto& weights = arena(Purpose::weights);
  const auto matrix = [&](const char* stem) { return weights_.matrix(layer_tensor(layer, stem), weights); };
  const auto vector = [&](const char* stem) { return weights_.vector(layer_tensor(layer, stem), weights); };

  device::FfnHalf half;
  half.norm = vector("ffn_norm");
  half.post_norm = vector("post_ffw_norm");
  half.gate = matrix("ffn_gate");
  half.up = matrix("ffn_up");
  half.down = matrix("ffn_down");
  const bool scaled = weights_.contains(layer_tensor(layer, "layer_output_scale"));
  if (scaled) half.output_scale = *vector("layer_output_scale");
  return half;
}

void BoundPlan::bind_head() {
  auto& head = arena(Purpose::head);
  embedding_.scale = hyper_.embedding_scale;
  head_.norm = weights_.vector(model::kOutputNorm, head);
  head_.softcap = hyper_.final_softcap;
  const auto head_matrix = [&](std::string_view name) {
    if (plan_.head.type == plan_.head.file_type) return weights_.matrix(name, head);
    return weights_.quantised(name, model::tensor_type_from_name(plan_.head.type).value(), head);
  };
  if (weights_.contains(model::kOutput)) {
    head_.out = head_matrix(model::kOutput);
    embedding_.table = weights_.matrix(model::kTokenEmbedding, arena(Purpose::weights));
  } else {
    head_.out = head_matrix(model::kTokenEmbedding);
    embedding_.table = head_.out;
  }
}

void BoundPlan::bind_buffers() {
  const auto units = planner::units_on(plan_, planner::Device::cpu);
  const auto layout = planner::activation_layout(hyper_, units, plan_.workload.micro_batch);
  auto& activations = arena(Purpose::activations);
  const auto take = [&](std::uint64_t bytes) { return floats(activations.take(bytes)).data(); };

  residual_ = floats(activations.take(layout.residual_bytes));
  scratch_.normed = take(layout.normed_bytes);
  scratch_.projected = take(layout.projected_bytes);
  scratch_.q = take(layout.q_bytes);
  scratch_.k = take(layout.k_bytes);
  scratch_.v = take(layout.v_bytes);
  scratch_.attended = take(layout.attended_bytes);
  scratch_.gate = take(layout.gate_bytes);
  scratch_.up = take(layout.up_bytes);
  scratch_.quantised = activations.take(layout.quantised_bytes).data();

  auto& staging = arena(Purpose::kv_staging);
  scratch_.kv_staging = staging.take(staging.own_bytes()).data();
  auto& logits = arena(Purpose::logits);
  logits_ = floats(logits.take(logits.own_bytes()));
}

void BoundPlan::check_ledger() const {
  for (const auto& line : ledger()) {
    const bool reserve = line.purpose == Purpose::reserve;
    if (line.balances() && (reserve || line.used_bytes == line.planned_bytes)) continue;
    throw PlanViolated("arena " + std::string(planner::to_string(line.purpose)) + ": " +
                       std::to_string(line.planned_bytes) + " bytes planned, " +
                       std::to_string(line.allocated_bytes) + " allocated, " +
                       std::to_string(line.used_bytes) + " used");
  }
}

}  // namespace tandem::memory
