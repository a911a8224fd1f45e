#include "daemon/calibration/profile_json.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include <nlohmann/json.hpp>

#include "daemon/calibration/cpu_products.h"
#include "model/error.h"
#include "planner/errors.h"
#include "planner/machine.h"
#include "planner/size_text.h"

namespace tandem::calibration {
namespace {

using Json = nlohmann::ordered_json;

/// The fastest of all types whose products are of integers, or of floats.
const planner::TypeRates& fastest(const CpuSpeed& cpu, bool floats) {
  const planner::TypeRates* best = nullptr;
  for (const auto& rates : cpu.types) {
    if (model::is_float(rates.type) != floats) continue;
    if (best == nullptr || rates.tops > best->tops) best = &rates;
  }
  if (best == nullptr) throw Error("calibration: no product could be measured", "is memory short?");
  return *best;
}

std::string name_of(model::TensorType type) {
  return std::string(model::tensor_type_info(type).name);
}

/// Writes rates; where a profile may do without, those are left out that are 0 or not to be believed.
class Rates {
 public:
  Rates() : json_(Json::object()) {}

  void add(const char* name, double value, const std::string& source) {
    json_[name] = {{"value", value}, {"source", source}};
  }
  void add_if_known(const char* name, double value, const std::string& source) {
    if (value > 0 && planner::is_credible_rate(name, value)) add(name, value, source);
  }
  [[nodiscard]] const Json& json() const noexcept { return json_; }

 private:
  Json json_;
};

void add_cpu(const CpuSpeed& cpu, const hardware::Fingerprint& fingerprint, Rates& rates) {
  const auto threads = std::to_string(cpu.threads) + " threads, kernels " + cpu.kernels;
  const auto& integers = fastest(cpu, false);
  const auto& floats = fastest(cpu, true);
  if (cpu.reads.empty()) throw Error("calibration: reading memory was not measured");
  rates.add("ram_read_gb_per_s", cpu.reads.back().gb_per_s, "measured: sums over memory, " + threads);
  rates.add("cpu_int8_tops", integers.tops,
            "measured: products in " + name_of(integers.type) + ", " + threads);
  rates.add("cpu_float_tops", floats.tops, "measured: products in " + name_of(floats.type) + ", " + threads);
  rates.add("cpu_unit_us", cpu.overhead.unit_us,
            "measured: a step of one row through units of 256 elements, less what rates say, by unit");
  rates.add_if_known("cpu_unit_few_rows_us", cpu.overhead.unit_few_rows_us,
                     "measured: the same with 8 rows, by row and unit");
  rates.add_if_known("cpu_unit_many_rows_us", cpu.overhead.unit_many_rows_us,
                     "measured: the same with 64 rows, by row and unit");
  rates.add_if_known("cpu_mapped_slowdown", cpu.mapped_slowdown,
                     "measured: one row through FFN halves in " + name_of(cpu_types().front()) +
                         " as in the file, over the same repacked");
  rates.add("cpu_stage_us", cpu.overhead.stage_us,
            "measured: a step through units of 32 elements, less its units");
  rates.add("cpu_threads", cpu.threads, "the team that measured");
  const auto& attention = cpu.attention;
  rates.add_if_known("cpu_attention_gb_per_s", attention.gb_per_s,
                     "measured: 1 and 64 rows at 4,096 keys, 16 heads of 256 and of 64 on 8; told apart from "
                     "operations and scores");
  rates.add_if_known("cpu_attention_tops", attention.tops, "measured: as cpu_attention_gb_per_s");
  rates.add_if_known("cpu_attention_scores_g_per_s", attention.scores_g_per_s,
                     "measured: as cpu_attention_gb_per_s");
  rates.add_if_known("cpu_attention_vector_gb_per_s", attention.vector_gb_per_s,
                     "measured: 1 row at 4,096 keys, 16 heads of 512 on 1, less operations and scores");
  rates.add_if_known("cpu_cached_attention_gb_per_s", attention.cached_gb_per_s,
                     "measured: 1 row at 4,096 keys, 16 heads of 256 on 8, the same KV again and again, less "
                     "operations and scores");
  rates.add_if_known("cpu_cached_attention_vector_gb_per_s", attention.cached_vector_gb_per_s,
                     "measured: as cpu_attention_vector_gb_per_s, the same KV again and again");
  const auto& caches = fingerprint.cache_bytes;
  if (!caches.empty()) {
    rates.add_if_known("cpu_cache_bytes", static_cast<double>(std::ranges::max(caches)), "the largest cache");
  }
  const auto& elems = cpu.elems;
  rates.add_if_known("cpu_elems_g_per_s", elems.norms_g_per_s,
                     "measured: sum, norms and conversion of 64 rows of 3,840");
  rates.add_if_known("cpu_head_elems_g_per_s", elems.heads_g_per_s,
                     "measured: 64 rows of 16 heads of 256 and of 64 on 8 normed, rotated and stored");
  rates.add_if_known("cpu_heads_g_per_s", elems.heads_begun_g_per_s,
                     "measured: the same with heads of 64, less their elements");
  rates.add_if_known("cpu_geglu_elems_g_per_s", elems.geglu_g_per_s,
                     "measured: GeGLU and conversion of 64 rows of 15,360");
  rates.add_if_known("cpu_input_elems_g_per_s", elems.inputs_g_per_s,
                     "measured: 64 rows of 4,096 converted and multiplied, less both apart");
  rates.add_if_known("cpu_output_elems_g_per_s", elems.outputs_g_per_s,
                     "measured: products of 64 rows of 128 and of 256 for 2,048 outputs");
  rates.add_if_known("cpu_logit_elems_g_per_s", elems.logits_g_per_s,
                     "measured: 64 rows of 16,384 logits capped");
}

/// The greatest of what was measured for each type; 0 where nothing was.
template <class Value>
double most(const std::vector<planner::TypeRates>& types, const Value& value) {
  double largest = 0;
  for (const auto& rates : types) largest = std::max(largest, value(rates));
  return largest;
}

/// What only a GPU can tell: measured, or as in the built-in `default`.
void add_gpu(const AcceleratorSpeed& gpu, Rates& rates) {
  const auto assumed = planner::builtin_machine("default");
  const auto add = [&rates](const char* name, double measured, double otherwise, const char* how) {
    if (measured > 0 && planner::is_credible_rate(name, measured)) {
      rates.add(name, measured, std::string("measured: ") + how);
    } else {
      rates.add(name, otherwise, "not measured: as in the profile default");
    }
  };
  add("vram_read_gb_per_s", most(gpu.types, [](const auto& type) { return type.read_gb_per_s[0]; }),
      assumed.vram_read_gb_per_s, "one row through FFN halves, the fastest type");
  add("gpu_int8_tops", most(gpu.types, [](const auto& type) { return type.tops; }), assumed.gpu_int8_tops,
      "many rows through an FFN half, the fastest type");
  add("gpu_float_tops", 0, assumed.gpu_float_tops, "");
  add("pcie_gb_per_s", std::min(gpu.to_device_gb_per_s, gpu.from_device_gb_per_s), assumed.pcie_gb_per_s,
      "copies of pinned memory, the slower direction");
  add("gpu_launch_us", gpu.launch_us, assumed.gpu_launch_us, "a step through small units, by unit");
  add("crossing_us", gpu.crossing_us, assumed.crossing_us, "64 bytes there or back, and knowing of it");
  add("driver_bytes", static_cast<double>(gpu.taken_bytes), static_cast<double>(assumed.driver_bytes),
      "memory taken before the first allocation, by the driver and other programs");
  rates.add_if_known("gpu_stage_us", gpu.stage_us, "measured: a step through a small unit, less the unit");
  rates.add_if_known(
      "stream_rows", gpu.stream_rows,
      "measured: chunks of 8 to 512 rows through an FFN half of 3,840 x 15,360 in Q4_0 on the CPU, "
      "and there and back with its weights streamed; where both take as long");
  rates.add_if_known("gpu_attention_gb_per_s", gpu.attention_gb_per_s, "measured: one row");
  rates.add_if_known("gpu_attention_tops", gpu.attention_tops, "measured: many rows");
}

/// A GPU is measured once: a type whose rates are not to be believed is one for which there was no time.
std::vector<planner::TypeRates> credible(const std::vector<planner::TypeRates>& measured) {
  std::vector<planner::TypeRates> types;
  std::ranges::copy_if(measured, std::back_inserter(types), planner::is_credible);
  return types;
}

Json types_json(const std::vector<planner::TypeRates>& measured, const std::string& how) {
  Json types = Json::object();
  for (const auto& rates : measured) {
    types[name_of(rates.type)] = {
        {"read_gb_per_s", rates.read_gb_per_s},
        {"tops", rates.tops},
        {"source", "measured: gate, up and down of an FFN, larger than the caches" + how}};
  }
  return types;
}

Json measured_json(const CpuSpeed& cpu, const AcceleratorSpeed& gpu, const Occasion& occasion) {
  Json by_threads = Json::array();
  for (const auto& speed : cpu.reads) {
    by_threads.push_back({{"threads", speed.threads}, {"gb_per_s", speed.gb_per_s}});
  }
  Json by_node = Json::array();
  for (const auto& speed : cpu.nodes) by_node.push_back({{"node", speed.node}, {"gb_per_s", speed.gb_per_s}});
  return {{"utc", occasion.utc},
          {"took_s", occasion.took_s},
          {"fingerprint", Json::parse(hardware::to_json(occasion.fingerprint))},
          {"kernels", cpu.kernels},
          {"read_by_threads", by_threads},
          {"read_by_numa_node", by_node},
          {"to_gpu_gb_per_s", gpu.to_device_gb_per_s},
          {"from_gpu_gb_per_s", gpu.from_device_gb_per_s}};
}

}  // namespace

std::string profile_json(const CpuSpeed& cpu, const AcceleratorSpeed& gpu, const Occasion& occasion) {
  Rates rates;
  add_cpu(cpu, occasion.fingerprint, rates);
  add_gpu(gpu, rates);
  const auto& fingerprint = occasion.fingerprint;
  const auto description = fingerprint.cpu + ", " + std::to_string(cpu.threads) + " threads, measured " +
                           occasion.utc + (gpu.types.empty() ? "; GPU figures of the profile default" : "");
  const Json profile{{"schema", "tandem.machine/1"},
                     {"name", "this machine"},
                     {"description", description},
                     {"rates", rates.json()},
                     {"block_types",
                      {{"cpu", types_json(cpu.types, "; repacked where it can be")},
                       {"gpu", types_json(credible(gpu.types), "")}}},
                     {"measured", measured_json(cpu, gpu, occasion)}};
  return profile.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string usable_profile(const std::function<std::string()>& measure) {
  const auto problem_of = [](const std::string& profile) -> std::optional<std::string> {
    try {
      const auto machine = planner::parse_machine(profile, "as measured");
      if (machine.cpu_unit_us > 0) return std::nullopt;
      return "cpu_unit_us is 0, and no step through a unit takes no time";
    } catch (const planner::BadProfile& bad) {
      return bad.what();
    }
  };
  if (auto profile = measure(); !problem_of(profile)) return profile;
  auto again = measure();
  if (const auto problem = problem_of(again)) {
    throw Error("calibration: measured twice, and no profile came of it: " + *problem,
                "was the process stopped, or the machine asleep? try again when it is at rest");
  }
  return again;
}

}  // namespace tandem::calibration
