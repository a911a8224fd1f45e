#include "tests/planner/slow_walk.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <string>

namespace tandem::planner_test {
namespace {

using planner::Device;

const std::set<model::TensorType> kFloats{model::TensorType::f32, model::TensorType::f16,
                                          model::TensorType::bf16};

std::uint64_t up_to_64(std::uint64_t bytes) {
  return (bytes + 63) / 64 * 64;
}

bool stem_of_ffn(const std::string& name) {
  return name.starts_with("blk.") &&
         (name.find(".ffn_") != std::string::npos || name.find(".post_ffw_norm.") != std::string::npos);
}

/// Rows of the longest chunk of a prompt: beside a row of every other sequence, in 32s from 32 on.
std::uint64_t longest_chunk(const planner::Workload& workload) {
  std::uint64_t rows = workload.micro_batch + 1 - workload.sequences;
  if (rows > 32) rows -= rows % 32;
  return std::min(rows, workload.max_seq_len);
}

/// Rows of a step to which each sequence brings a chunk of at most `chunk` rows, or what it decodes.
std::uint64_t most_rows(const planner::Workload& workload, std::uint64_t chunk) {
  const auto of_a_sequence = std::max<std::uint64_t>(chunk, 1 + workload.draft_rows);
  return std::min<std::uint64_t>(workload.micro_batch, of_a_sequence * workload.sequences);
}

/// What the units of one device need together.
struct Side {
  bool used = false;
  bool has_head = false;
  bool has_attention = false;
  bool has_ffn = false;
  bool sees_pages = false;
  std::uint64_t bytes = 0;
  std::uint64_t drafts = 0;
  std::uint64_t longest_kv_row = 0;
  std::uint64_t q = 0;
  std::uint64_t k = 0;
  std::uint64_t v = 0;
  std::uint64_t ffn = 0;
  std::uint64_t integers = 0;
  std::uint64_t ffn_integers = 0;
  std::uint64_t head_integers = 0;
  std::uint64_t largest_bytes = 0;                       ///< tensor
  std::set<std::pair<bool, std::uint64_t>> rope_tables;  ///< kind of attention and bytes
};

}  // namespace

SlowWalk::SlowWalk(const model::Header& header, const model::Hyperparameters& hyper,
                   const planner::Budget& budget, const planner::Workload& workload,
                   const planner::MachineProfile& machine, Device gpu)
    : budget_(budget),
      workload_(workload),
      machine_(machine),
      gpu_(gpu),
      capped_(hyper.final_softcap > 0),
      layers_(hyper.layers.size()) {
  const bool tied = header.find_tensor("output.weight") == nullptr;
  width_ = header.find_tensor("output_norm.weight")->dims[0];
  vocab_ = header.find_tensor("token_embd.weight")->dims[1];
  for (const auto& tensor : header.tensors) {
    Unit* unit = &head_;
    if (tensor.name.starts_with("blk.")) {
      const auto layer = std::stoul(tensor.name.substr(4));
      const auto stem = tensor.name.substr(tensor.name.find('.', 4) + 1);
      const bool attends = stem.starts_with("attn_") || stem == "post_attention_norm.weight";
      unit = &layers_[layer][attends ? 0 : 1];
      if (stem == "attn_q.weight") unit->q_elems = tensor.dims[1];
      if (stem == "attn_k.weight") unit->k_elems = tensor.dims[1];
      if (stem == "attn_v.weight") unit->v_elems = tensor.dims[1];
      if (stem == "attn_q_norm.weight") unit->head_elems = tensor.dims[0];
      if (stem == "attn_q_norm.weight") unit->rope_bytes = up_to_64(tensor.dims[0] / 2 * 8);
      if (stem == "attn_k.weight" || stem == "attn_v.weight") unit->kv_row_bytes += tensor.dims[1];
      if (stem == "ffn_gate.weight") unit->ffn_elems = tensor.dims[1];
    } else if (tensor.name == "token_embd.weight" && !tied) {
      own_embedding_bytes_ = tensor.size_bytes;
      continue;
    } else if (tensor.name == "rope_freqs.weight") {
      continue;
    }
    if (stem_of_ffn(tensor.name)) stream_bytes_ = std::max(stream_bytes_, up_to_64(tensor.size_bytes));
    unit->largest_bytes = std::max(unit->largest_bytes, tensor.size_bytes);
    if (!kFloats.contains(tensor.type)) unit->integer_elems = std::max(unit->integer_elems, tensor.dims[0]);
    const bool is_matrix = tensor.n_dims > 1;
    if (is_matrix && kFloats.contains(tensor.type) && tensor.size_bytes / tensor.dims[1] % 16 != 0)
      unit->only_on_cpu = true;
    if (tensor.name.ends_with("attn_q_norm.weight") && tensor.dims[0] % 16 != 0) unit->only_on_cpu = true;
    unit->mapped_bytes += tensor.size_bytes;
    unit->copied_bytes += up_to_64(tensor.size_bytes);
    auto share = std::ranges::find(unit->shares, tensor.type, &Share::type);
    if (share == unit->shares.end()) share = unit->shares.insert(share, {tensor.type, 0, 0});
    share->bytes += static_cast<double>(tensor.size_bytes);
    share->elems += static_cast<double>(tensor.elems());
  }
  stream_bytes_ += up_to_64(width_ * 4);
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    auto& attention = layers_[i][0];
    attention.attends = true;
    attention.slides = hyper.layers[i].kind == model::LayerKind::sliding;
    attention.window = hyper.layers[i].window;
    add_kv(attention);
  }
  const auto decoding =
      std::min<std::uint64_t>(std::uint64_t{workload.sequences} * (workload.draft_rows + 1), 8);
  for (std::uint64_t context = 256;; context *= 2) {
    for (std::uint64_t rows = 1;
         rows == 1 || rows / 2 < std::min<std::uint64_t>(decoding, workload.micro_batch); rows *= 2)
      ++recorded_steps_;
    if (context >= workload.max_seq_len) break;
  }
  recorded_steps_ = std::min<std::uint64_t>(recorded_steps_, 64);
}

/// Elements of a row become bytes, and rows the cache: a ring of cells, or pages of 64.
void SlowWalk::add_kv(Unit& unit) const {
  const auto elems = unit.kv_row_bytes;
  if (workload_.kv_type == planner::KvType::q8_0) {
    unit.kv_row_bytes = elems / 32 * 34;
  } else {
    unit.kv_row_bytes = elems * (workload_.kv_type == planner::KvType::f16 ? 2 : 4);
  }
  const auto pages = (workload_.max_seq_len + 63) / 64;
  const auto cells = unit.slides ? std::min(workload_.max_seq_len, unit.window) : pages * 64;
  unit.kv_bytes = up_to_64(workload_.sequences * cells * unit.kv_row_bytes);
}

/// Kernels of a half that decodes, each with what comes before it in the half or after it.
std::uint64_t SlowWalk::operations_of(const Unit& unit) const {
  if (!unit.attends) return 5;
  const auto parts_floats = 8 * (unit.q_elems + 2 * (unit.q_elems / unit.head_elems));
  std::uint64_t operations = 7;
  operations += unit.v_elems > 0 ? 1 : 0;
  operations += workload_.draft_rows > 0 ? 1 : 0;
  operations += unit.integer_elems > 0 ? 1 : 0;
  operations += most_rows(workload_, longest_chunk(workload_)) * width_ / parts_floats > 2 ? 1 : 0;
  return operations;
}

double SlowWalk::share_s(const Share& share, double rows, bool on_gpu) const {
  const auto& measured = on_gpu ? machine_.gpu_types : machine_.cpu_types;
  const auto ops = 2 * rows * share.elems;
  for (const auto& rates : measured) {
    if (rates.type != share.type) continue;
    const std::array<double, 4> at{1, 2, 4, 8};
    const auto read_s = [&](std::size_t i) { return share.bytes / (rates.read_gb_per_s[i] * 1e9); };
    if (rows > 8) return std::max(read_s(3), ops / (rates.tops * 1e12));
    for (std::size_t i = 0; i + 1 < at.size(); ++i) {
      if (rows < at[i] || rows > at[i + 1]) continue;
      return read_s(i) + (read_s(i + 1) - read_s(i)) * (rows - at[i]) / (at[i + 1] - at[i]);
    }
  }
  const auto float_tops = on_gpu ? machine_.gpu_float_tops : machine_.cpu_float_tops;
  const auto int8_tops = on_gpu ? machine_.gpu_int8_tops : machine_.cpu_int8_tops;
  const auto bandwidth = on_gpu ? machine_.vram_read_gb_per_s : machine_.ram_read_gb_per_s;
  const auto tops = kFloats.contains(share.type) ? float_tops : int8_tops;
  return std::max(share.bytes / (bandwidth * 1e9), ops / (tops * 1e12));
}

/// The buffers of rows, one after another, each at the rate of what a CPU does with it.  Norms are shared out
/// by rows.
double SlowWalk::rows_s(const Unit& unit, bool is_head, double rows) const {
  const auto& rates = machine_.cpu_elems;
  double seconds = 0;
  const auto pass = [&seconds](std::uint64_t elems, double g_per_s) {
    if (g_per_s > 0) seconds += static_cast<double>(elems) / (g_per_s * 1e9);
  };
  pass(width_ * (is_head ? 2 : 4), rates.norms_g_per_s);
  auto norm_rows = rows;
  while (machine_.cpu_threads > 0 && std::fmod(norm_rows, machine_.cpu_threads) != 0) ++norm_rows;
  const auto norms = norm_rows * seconds;
  seconds = 0;
  pass(width_ + unit.q_elems + unit.ffn_elems, rates.inputs_g_per_s);
  if (is_head) {
    pass(vocab_, rates.outputs_g_per_s);
    if (capped_) pass(vocab_, rates.logits_g_per_s);
    return norms + rows * seconds;
  }
  pass(width_ + unit.q_elems + unit.k_elems + unit.v_elems + 2 * unit.ffn_elems, rates.outputs_g_per_s);
  pass(unit.ffn_elems, rates.geglu_g_per_s);
  pass(2 * (unit.q_elems + unit.k_elems), rates.heads_g_per_s);
  if (unit.attends) pass((unit.q_elems + 2 * unit.k_elems) / unit.head_elems, rates.heads_begun_g_per_s);
  return norms + rows * seconds;
}

/// Tokens that some of the last `rows` rows sees.
std::uint64_t SlowWalk::cells(const Unit& unit, std::uint64_t rows, std::uint64_t context) {
  std::uint64_t cells = 0;
  for (auto position = context - rows; position < context; ++position) {
    const auto sees = unit.slides ? std::min(position + 1, unit.window) : position + 1;
    cells = position == context - rows ? sees : cells + 1;
  }
  return cells;
}

/// All weights and what a step sees of KV, in the CPU's cache.
bool SlowWalk::is_cached(std::uint64_t rows, std::uint64_t context, std::uint64_t sequences) const {
  std::uint64_t bytes = 0;
  const auto add_weights = [&bytes](const Unit& unit) {
    for (const auto& share : unit.shares) bytes += share.bytes;
  };
  add_weights(head_);
  for (const auto& [attention, ffn] : layers_) {
    add_weights(attention);
    add_weights(ffn);
    bytes += sequences * cells(attention, rows, context) * attention.kv_row_bytes;
  }
  return static_cast<double>(bytes) <= machine_.cpu_cache_bytes;
}

/// Tasks of some rows and heads of one KV head, dealt out one to each thread in turn: as long as the first
/// thread takes; evenly where they are so few that keys are cut.  `pairs` are of a row and a key it sees, in
/// one sequence.
double SlowWalk::threads_attention_s(const Unit& unit, std::uint64_t rows, std::uint64_t sequences,
                                     std::uint64_t pairs, bool cached) const {
  const auto threads = static_cast<std::uint64_t>(machine_.cpu_threads);
  const auto kv_heads = unit.k_elems / unit.head_elems;
  const auto heads_each = unit.q_elems / unit.k_elems;
  constexpr std::uint64_t kMostTogether = 64;
  const auto together = std::min(kMostTogether, heads_each);
  const auto single_rows = [&] {
    return rows * sequences * kv_heads * ((heads_each + together - 1) / together);
  };
  const bool keys_are_cut = threads > 1 && single_rows() < 4 * threads;
  auto task_rows = std::min(single_rows() / (4 * threads), kMostTogether / together);
  task_rows = std::min(rows, std::max<std::uint64_t>(1, task_rows));
  const auto head_tasks = (heads_each + together - 1) / together;
  const auto tasks = sequences * ((rows + task_rows - 1) / task_rows) * kv_heads * head_tasks;
  const auto of_the_first = (tasks + threads - 1) / threads;

  const auto or_else = [](double rate, double general) { return rate > 0 ? rate : general; };
  auto bandwidth = or_else(machine_.cpu_attention_gb_per_s, machine_.ram_read_gb_per_s);
  if (unit.v_elems == 0) bandwidth = or_else(machine_.cpu_attention_vector_gb_per_s, bandwidth);
  if (cached) {
    const auto from_cache = unit.v_elems == 0 ? machine_.cpu_cached_attention_vector_gb_per_s
                                              : machine_.cpu_cached_attention_gb_per_s;
    bandwidth = or_else(from_cache, bandwidth);
  }
  const auto all_pairs = static_cast<double>(sequences * pairs);
  const auto loaded = all_pairs * static_cast<double>(unit.kv_row_bytes) * static_cast<double>(head_tasks) /
                      static_cast<double>(task_rows);
  auto seconds = loaded / (bandwidth * 1e9);
  const auto tops = or_else(machine_.cpu_attention_tops, machine_.cpu_float_tops);
  seconds += 4.0 * static_cast<double>(unit.q_elems) * all_pairs / (tops * 1e12);
  const auto heads = unit.q_elems / unit.head_elems;
  const auto scores = static_cast<double>(heads) * all_pairs;
  if (machine_.cpu_attention_scores_g_per_s > 0)
    seconds += scores / (machine_.cpu_attention_scores_g_per_s * 1e9);
  if (keys_are_cut) return seconds;
  return seconds / static_cast<double>(tasks) * static_cast<double>(threads * of_the_first);
}

std::uint64_t SlowWalk::unit_ps(const Unit& unit, bool is_head, bool on_gpu, std::uint64_t rows,
                                std::uint64_t context, std::uint64_t sequences) const {
  double seconds = (on_gpu ? machine_.gpu_launch_us : machine_.cpu_unit_us) * 1e-6;
  const auto row_count = (is_head ? 1 : rows) * sequences;
  const auto all_rows = static_cast<double>(row_count);
  for (std::uint64_t row = 2; !on_gpu && row <= row_count; ++row) {
    seconds += (row <= 8 ? machine_.cpu_unit_few_rows_us : machine_.cpu_unit_many_rows_us) * 1e-6;
  }
  for (const auto& share : unit.shares) seconds += share_s(share, all_rows, on_gpu);
  if (!on_gpu) seconds += rows_s(unit, is_head, all_rows);
  if (!on_gpu && is_head) seconds += machine_.cpu_stage_us * 1e-6 * (own_embedding_bytes_ == 0 ? 2 : 1);
  if (unit.attends) {
    std::uint64_t pairs = 0;  // of a row and a key it sees
    for (auto position = context - rows; position < context; ++position)
      pairs += unit.slides ? std::min(position + 1, unit.window) : position + 1;
    if (!on_gpu && machine_.cpu_threads > 0) {
      seconds += threads_attention_s(unit, rows, sequences, pairs, is_cached(rows, context, sequences));
      return static_cast<std::uint64_t>(std::llround(seconds * 1e12));
    }
    auto bandwidth = on_gpu ? machine_.gpu_attention_gb_per_s : machine_.cpu_attention_gb_per_s;
    const auto cached_bandwidth = machine_.cpu_cached_attention_gb_per_s;
    if (!on_gpu && cached_bandwidth > 0 && is_cached(rows, context, sequences)) bandwidth = cached_bandwidth;
    auto tops = on_gpu ? machine_.gpu_attention_tops : machine_.cpu_attention_tops;
    if (bandwidth == 0) bandwidth = on_gpu ? machine_.vram_read_gb_per_s : machine_.ram_read_gb_per_s;
    if (tops == 0) tops = on_gpu ? machine_.gpu_float_tops : machine_.cpu_float_tops;
    const auto read_s =
        static_cast<double>(sequences * cells(unit, rows, context) * unit.kv_row_bytes) / (bandwidth * 1e9);
    const auto ops = 4.0 * static_cast<double>(unit.q_elems) * static_cast<double>(sequences * pairs);
    seconds += std::max(read_s, ops / (tops * 1e12));
  }
  return static_cast<std::uint64_t>(std::llround(seconds * 1e12));
}

WalkResult SlowWalk::walk(const planner::Placement& placement, std::uint64_t rows, std::uint64_t context,
                          std::uint64_t sequences, std::uint64_t parts) const {
  WalkResult result;
  Side cpu;
  Side gpu;
  std::array<bool, 2> crosses{};           // [1]: to the GPU
  std::array<bool, 2> crosses_streamed{};  // in a step whose weights are streamed
  const auto row_bytes = static_cast<double>(rows * sequences * width_ * 4);
  const auto crossing_ps = static_cast<std::uint64_t>(
      std::llround((machine_.crossing_us * 1e-6 + row_bytes / (machine_.pcie_gb_per_s * 1e9)) * 1e12));
  bool rows_on_gpu = own_embedding_bytes_ == 0 && placement.head != Device::cpu;
  bool started = false;
  const auto visit = [&](const Unit& unit, bool is_head, bool on_gpu) {
    auto& busy_ps = on_gpu ? result.gpu_ps : result.cpu_ps;
    const bool enters = !started || rows_on_gpu != on_gpu;
    if (rows_on_gpu != on_gpu) {
      crosses.at(on_gpu ? 1 : 0) = true;
      result.travel_ps += crossing_ps / parts;
    }
    if (enters) {
      const auto stage_us = on_gpu ? machine_.gpu_stage_us : machine_.cpu_stage_us;
      busy_ps += static_cast<std::uint64_t>(std::llround(stage_us * 1e6)) / parts;
    }
    started = true;
    rows_on_gpu = on_gpu;
    busy_ps += unit_ps(unit, is_head, on_gpu, rows, context, sequences) / parts;
    auto& side = on_gpu ? gpu : cpu;
    side.used = true;
    side.has_head = side.has_head || is_head;
    side.has_attention = side.has_attention || unit.attends;
    side.has_ffn = side.has_ffn || (!is_head && !unit.attends);
    auto& integers = is_head ? side.head_integers : unit.attends ? side.integers : side.ffn_integers;
    integers = std::max(integers, unit.integer_elems);
    side.largest_bytes = std::max(side.largest_bytes, unit.largest_bytes);
    side.bytes += on_gpu ? unit.copied_bytes : unit.mapped_bytes;
    side.ffn = std::max(side.ffn, unit.ffn_elems);
    if (on_gpu && !is_head) side.bytes += recorded_steps_ * operations_of(unit) * 1024;
    if (!unit.attends) return;
    side.bytes += unit.kv_bytes;
    side.drafts += unit.kv_row_bytes * workload_.sequences * workload_.draft_rows;
    side.longest_kv_row = std::max(side.longest_kv_row, unit.kv_row_bytes);
    side.q = std::max(side.q, unit.q_elems);
    side.k = std::max(side.k, unit.k_elems);
    side.v = std::max(side.v, on_gpu ? unit.v_elems : unit.k_elems);
    side.sees_pages = side.sees_pages || !unit.slides;
    side.rope_tables.emplace(unit.slides, unit.rope_bytes);
  };
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    visit(layers_[i][0], false, placement.attention[i] != Device::cpu);
    visit(layers_[i][1], false, placement.ffn[i] != Device::cpu);
  }
  visit(head_, true, placement.head != Device::cpu);

  const std::uint64_t stream_rows = workload_.stream_rows.value_or(0);
  const bool may_stream = stream_rows > 0 && stream_rows <= longest_chunk(workload_);
  bool streams = false;
  if (gpu.used && may_stream) {
    // The way of a chunk whose weights are streamed: every FFN half is on the GPU.
    bool on_gpu = own_embedding_bytes_ == 0 && placement.head != Device::cpu;
    const auto pass = [&](bool next) {
      if (next != on_gpu) crosses_streamed.at(next ? 1 : 0) = true;
      on_gpu = next;
    };
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      pass(placement.attention[i] != Device::cpu);
      pass(true);
      if (placement.ffn[i] != Device::cpu) continue;
      streams = true;
      gpu.has_ffn = true;
      gpu.ffn = std::max(gpu.ffn, layers_[i][1].ffn_elems);
      gpu.ffn_integers = std::max(gpu.ffn_integers, layers_[i][1].integer_elems);
      gpu.largest_bytes = std::max(gpu.largest_bytes, layers_[i][1].largest_bytes);
    }
    pass(placement.head != Device::cpu);
  }

  // Streaming leaves chunks of fewer rows to the CPU's FFN halves, and to what crosses for them alone.
  const auto m = most_rows(workload_, longest_chunk(workload_));
  const auto in_place = streams ? most_rows(workload_, stream_rows - 1) : m;
  const auto floats = [](std::uint64_t n, std::uint64_t elems) { return up_to_64(n * elems * 4); };
  const auto integers = [](std::uint64_t n, std::uint64_t elems) {
    return up_to_64(n * ((elems + 31) / 32) * 40);
  };
  const auto newest = std::uint64_t{workload_.sequences} * (workload_.draft_rows + 1);
  const auto logit_rows = std::min<std::uint64_t>(m, std::max<std::uint64_t>(8, newest));
  const auto logits = up_to_64(logit_rows * vocab_ * 4);
  const auto total = [&](const Side& side) {
    if (!side.used) return std::uint64_t{0};
    const auto ffn_rows = &side == &cpu ? in_place : m;
    const auto rows_of_halves = side.has_attention ? m : side.has_ffn ? ffn_rows : 0;
    auto bytes = side.bytes + up_to_64(side.drafts) + up_to_64(m * side.longest_kv_row);
    for (const auto& table : side.rope_tables) bytes += table.second;
    bytes += std::max({integers(m, side.integers), integers(ffn_rows, side.ffn_integers),
                       integers(logit_rows, side.head_integers)});
    // Rows as they come, normed rows, and what halves project.
    bytes += floats(side.has_head ? m : rows_of_halves, width_);
    bytes += floats(std::max(rows_of_halves, side.has_head ? logit_rows : 0), width_);
    bytes += floats(rows_of_halves, width_);
    bytes += 2 * floats(m, side.q) + floats(m, side.k) + floats(m, side.v);
    return bytes + 2 * floats(ffn_rows, side.ffn);
  };
  const auto masks = workload_.sequences * up_to_64(2 * 8 * ((vocab_ + 63) / 64));
  result.ram_bytes = total(cpu) + logits + masks + own_embedding_bytes_ + budget_.ram_reserve_bytes;
  for (const std::size_t to : {0, 1}) {
    const auto crossing = crosses_streamed.at(to) && streams ? m : crosses.at(to) ? in_place : 0;
    result.ram_bytes += 2 * floats(crossing, width_);
  }
  if (gpu.used) {
    // Where rows stand, the pages that they see, and with the head what is embedded, wanted and chosen from.
    auto step_bytes = up_to_64(m * 48);
    const auto pages = workload_.sequences * ((workload_.max_seq_len + 63) / 64);
    if (gpu.sees_pages) step_bytes += up_to_64(pages * 4);
    if (gpu.has_head) {
      const auto chosen = std::min(m, newest);
      step_bytes += up_to_64(logit_rows * 4) + up_to_64(chosen * 4) + chosen * 8192;
      if (own_embedding_bytes_ == 0) step_bytes += up_to_64(m * 4);
    }
    const auto half = up_to_64(gpu.largest_bytes / 2);
    result.ram_bytes += step_bytes + std::clamp<std::uint64_t>(half, 1024, 4U << 20);
    result.vram_bytes += step_bytes + (streams ? 2 * stream_bytes_ : 0);
    result.vram_bytes += total(gpu) + (gpu.has_head ? logits : 0) + budget_.vram_reserve_bytes +
                         (gpu_ == Device::cuda0 ? machine_.driver_bytes : 0);
  }
  return result;
}

std::uint64_t SlowWalk::streamed_ps(const planner::Placement& placement, std::uint64_t rows,
                                    std::uint64_t context, std::uint64_t parts) const {
  auto computed = placement;
  std::ranges::fill(computed.ffn, gpu_);
  auto total = walk(computed, rows, context, 1, parts).serial_ps();
  bool some_on_gpu = placement.head != Device::cpu;
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    some_on_gpu = some_on_gpu || placement.attention[i] != Device::cpu || placement.ffn[i] != Device::cpu;
    if (placement.ffn[i] != Device::cpu) continue;
    const auto seconds = static_cast<double>(layers_[i][1].copied_bytes) / (machine_.pcie_gb_per_s * 1e9);
    const auto transfer = static_cast<std::uint64_t>(std::llround(seconds * 1e12));
    const auto work = unit_ps(layers_[i][1], false, true, rows, context, 1);
    if (transfer > work) total += transfer / parts - work / parts;
  }
  return some_on_gpu ? total : walk(placement, rows, context, 1, parts).serial_ps();
}

std::uint64_t SlowWalk::chunk_ps(const planner::Placement& placement, std::uint64_t parts) const {
  const auto context = workload_.expected_context;
  const auto rows = std::min<std::uint64_t>(workload_.micro_batch, context);
  const std::uint64_t stream_rows = workload_.stream_rows.value_or(0);
  const bool streams = stream_rows > 0 && stream_rows <= longest_chunk(workload_) && stream_rows <= rows;
  const auto last = std::max(rows, context / 2);
  return streams ? streamed_ps(placement, rows, last, parts)
                 : walk(placement, rows, last, 1, parts).serial_ps();
}

std::uint64_t SlowWalk::objective_ps(const planner::Placement& placement) const {
  const auto context = workload_.expected_context;
  switch (workload_.optimise) {
    case planner::Optimise::decode:
      return walk(placement, 1, context, 1).serial_ps();
    case planner::Optimise::context:
      return walk(placement, 1, workload_.max_seq_len, 1).serial_ps();
    case planner::Optimise::prefill:
      return walk(placement, 1, context, 1, 1'000'000).serial_ps() + chunk_ps(placement, 1);
    case planner::Optimise::request: {
      const auto rows = std::min<std::uint64_t>(workload_.micro_batch, context);
      return walk(placement, 1, context, 1).serial_ps() +
             chunk_ps(placement, std::max<std::uint64_t>(1, rows / 8));
    }
    case planner::Optimise::throughput:
      break;
  }
  const auto together = walk(placement, 1, context, workload_.sequences);
  if (workload_.sequences == 1) return together.serial_ps();
  const auto half = walk(placement, 1, context, (workload_.sequences + 1) / 2);
  const auto overlapped = std::max({2 * half.cpu_ps, 2 * half.gpu_ps, half.serial_ps()});
  return std::min(together.serial_ps(), overlapped);
}

bool SlowWalk::can_run(const planner::Placement& placement) const {
  for (std::size_t i = 0; i < layers_.size(); ++i) {
    const auto& [attention, ffn] = layers_[i];
    if (attention.only_on_cpu && placement.attention[i] != Device::cpu) return false;
    if (ffn.only_on_cpu && placement.ffn[i] != Device::cpu) return false;
  }
  return !head_.only_on_cpu || placement.head == Device::cpu;
}

bool SlowWalk::can_stream() const {
  return std::ranges::none_of(layers_, [](const auto& layer) { return layer[1].only_on_cpu; });
}

bool SlowWalk::fits(const planner::Placement& placement) const {
  if (!can_run(placement)) return false;
  const auto result = walk(placement, 1, workload_.expected_context, 1);
  return result.vram_bytes <= budget_.vram_bytes && result.ram_bytes <= budget_.ram_bytes;
}

}  // namespace tandem::planner_test
