#include "daemon/calibration/cpu_speed.h"

#include <algorithm>
#include <future>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/cpu_attention.h"
#include "daemon/calibration/cpu_elements.h"
#include "daemon/calibration/cpu_products.h"
#include "daemon/calibration/cpu_units.h"
#include "daemon/calibration/weight_block.h"
#include "memory/available_ram.h"

namespace tandem::calibration {
namespace {

/// Types that are measured however late it is: the first ones of cpu_types, which most files are made of.
constexpr std::size_t kNeededTypes = 5;

/// The FFN half of a 12B model; for the rare fp32 one half as wide.
FfnShape shape_for(model::TensorType type) {
  FfnShape shape;
  if (type == model::TensorType::f32) shape.ffn_width /= 2;
  return shape;
}

/// Three times the caches, and an FFN half of every type; at most a quarter of what the system has left.
std::size_t block_bytes() {
  const auto wanted = std::max(3 * largest_cache_bytes(),
                               ffn_bytes(shape_for(model::TensorType::f32), device::BlockType::f32));
  return std::min<std::uint64_t>(wanted, memory::available_ram_bytes() / 4);
}

CpuSpeed measure(Pace& pace, unsigned threads) {
  cpu::Team team(threads);
  team.pin();
  const auto& kernels = cpu::best_kernel_set();
  CpuSpeed speed;
  speed.threads = team.threads();
  speed.kernels = kernels.name;
  const WeightBlock block(block_bytes());
  speed.reads = read_speeds(pace, block.bytes(), team.threads());
  if (pace.begin("barriers")) {
    const auto overhead = step_overhead(pace, team, kernels);
    speed.unit_us = overhead.unit_us;
    speed.stage_us = overhead.stage_us;
  }
  if (pace.begin("attention")) speed.attention = attention_rates(pace, team, kernels, block.bytes().size());
  if (pace.begin("norms and GeGLU")) speed.elems = element_rates(pace, team, kernels, block);
  for (const auto type : cpu_types()) {
    const bool has_time = pace.begin("products in " + std::string(model::tensor_type_info(type).name));
    if (!has_time && speed.types.size() >= kNeededTypes) break;
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
                      const WeightBlock block(block_bytes());
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
