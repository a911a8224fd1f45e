#include "daemon/calibration/cpu_speed.h"

#include <algorithm>
#include <future>
#include <span>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/cpu_attention.h"
#include "daemon/calibration/cpu_elements.h"
#include "daemon/calibration/cpu_products.h"
#include "daemon/calibration/weight_block.h"
#include "memory/available_ram.h"

namespace tandem::calibration {
namespace {

/// Types that are measured however late it is: the first ones of cpu_types, which most files are made of.
constexpr std::size_t kNeededTypes = 5;

std::string products_in(model::TensorType type) {
  return "products in " + std::string(model::tensor_type_info(type).name);
}

/// The FFN half of a 12B model; for the rare fp32 one half as wide.
FfnShape shape_for(model::TensorType type) {
  FfnShape shape;
  if (type == model::TensorType::f32) shape.ffn_width /= 2;
  return shape;
}

/// Three times the caches, and an FFN half of every type; at most a sixteenth of what the system has left, as
/// there are two such blocks.
/// Eight times the caches were read no slower.
std::size_t block_bytes() {
  const auto wanted = std::max(3 * largest_cache_bytes(),
                               ffn_bytes(shape_for(model::TensorType::f32), device::BlockType::f32));
  return std::min<std::uint64_t>(wanted, memory::available_ram_bytes() / 16);
}

/// What is known so far, as a profile; without what steps cost beside it.
planner::MachineProfile rates_of(const CpuSpeed& speed) {
  planner::MachineProfile rates;
  rates.ram_read_gb_per_s = speed.reads.back().gb_per_s;
  rates.cpu_attention_gb_per_s = speed.attention.gb_per_s;
  rates.cpu_attention_tops = speed.attention.tops;
  rates.cpu_attention_scores_g_per_s = speed.attention.scores_g_per_s;
  rates.cpu_threads = speed.threads;
  rates.cpu_elems = speed.elems;
  rates.cpu_types = speed.types;
  for (const auto& type : speed.types) {
    if (model::is_float(type.type)) rates.cpu_float_tops = std::max(rates.cpu_float_tops, type.tops);
  }
  return rates;
}

/// A round through what most models need: the rates of the first kNeededTypes types and what steps cost
/// beside them, however late it is, and of everything else but products.
void measure_common(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const WeightBlock& block,
                    const WeightBlock& mapped, const AttentionProbe& attention, CpuSpeed& speed) {
  speed.reads = read_speeds(pace, block.bytes(), team.threads());
  if (pace.begin("attention")) speed.attention = attention.rates(pace, team, kernels);
  if (pace.begin("norms and GeGLU")) speed.elems = element_rates(pace, team, kernels, block);
  const auto types = cpu_types();
  speed.types.clear();
  for (const auto type : std::span(types).first(kNeededTypes)) {
    pace.begin_needed(products_in(type));
    const auto rates = product_rates(pace, team, kernels, block, shape_for(type), type, speed.elems);
    if (rates) speed.types.push_back(*rates);
  }
  const auto first = types.front();
  if (pace.begin("weights as in the file")) {
    speed.mapped_slowdown = mapped_slowdown(pace, team, kernels, mapped, block, shape_for(first), first);
  }
  pace.begin_needed("small units");
  speed.overhead = step_overhead(pace, team, kernels, rates_of(speed));
}

CpuSpeed measure(Pace& pace, unsigned threads) {
  cpu::Team team(threads > 0 ? threads : team_size(pace, block_bytes()));
  team.pin();
  const auto& kernels = cpu::best_kernel_set();
  CpuSpeed speed;
  speed.threads = team.threads();
  speed.kernels = kernels.name;
  const auto block = made_for_team(speed.threads, [] { return WeightBlock(block_bytes()); });
  const auto bytes = block.bytes().size();
  const auto mapped = made_for_team(speed.threads, [=] { return WeightBlock(bytes, Pages::small); });
  const auto attention = made_for_team(speed.threads, [=] { return AttentionProbe(bytes); });
  double round_s = 0;
  for (unsigned round = 0; round == 0 || (round < pace.effort().rounds && pace.has(round_s)); ++round) {
    const auto start_s = pace.elapsed_s();
    measure_common(pace, team, kernels, block, mapped, attention, speed);
    round_s = pace.elapsed_s() - start_s;
  }
  const auto types = cpu_types();
  for (const auto type : std::span(types).subspan(kNeededTypes)) {
    if (!pace.begin(products_in(type))) break;
    const auto rates = product_rates(pace, team, kernels, block, shape_for(type), type, speed.elems);
    if (rates) speed.types.push_back(*rates);
  }
  speed.nodes = node_speeds(pace, block.bytes().size() / 2, team.threads());
  return speed;
}

}  // namespace

ReadSpeed measure_memory(Pace& pace, unsigned threads) {
  return std::async(std::launch::async,
                    [&] {
                      cpu::Team team(threads);
                      team.pin();
                      const auto block =
                          made_for_team(team.threads(), [] { return WeightBlock(block_bytes()); });
                      const auto bytes = static_cast<double>(block.bytes().size());
                      return ReadSpeed{team.threads(), bytes / read_s(pace, team, block.bytes()) / 1e9};
                    })
      .get();
}

CpuSpeed measure_cpu(Pace& pace, unsigned threads) {
  // A thread of its own: pinning binds the caller too.
  return std::async(std::launch::async, measure, std::ref(pace), threads).get();
}

}  // namespace tandem::calibration
