#include "planner/machine.h"

#include <algorithm>
#include <array>
#include <iterator>

#include "embedded/machine_default.h"
#include "embedded/machine_rtx3060_12gb_ddr4.h"
#include "model/nearest.h"
#include "planner/errors.h"
#include "planner/json_reader.h"
#include "planner/machine_parts.h"

namespace tandem::planner {
namespace {

constexpr std::string_view kMachineSchema = "tandem.machine/1";

struct Builtin {
  std::string_view name;
  std::string_view json;
};

constexpr std::array kBuiltins{
    Builtin{"default", embedded::machine_default},
    Builtin{"rtx3060-12gb-ddr4", embedded::machine_rtx3060_12gb_ddr4},
};

struct RateRange {
  std::string_view key;
  double min;
  double max;

  [[nodiscard]] constexpr bool holds(double value) const noexcept { return value >= min && value <= max; }
};

/// Of a block type.
constexpr RateRange kTypeTops{"tops", 1e-3, 1e5};
constexpr RateRange kTypeReads{"read_gb_per_s", 0.01, 1e5};

/// Wide enough for any machine of the next years, narrow enough to catch a wrong unit.
constexpr std::array kRateRanges{
    RateRange{"ram_read_gb_per_s", 0.1, 1e5},
    RateRange{"vram_read_gb_per_s", 0.1, 1e5},
    RateRange{"cpu_int8_tops", 1e-3, 1e5},
    RateRange{"cpu_float_tops", 1e-3, 1e5},
    RateRange{"gpu_int8_tops", 1e-3, 1e5},
    RateRange{"gpu_float_tops", 1e-3, 1e5},
    RateRange{"pcie_gb_per_s", 0.01, 1e4},
    RateRange{"gpu_launch_us", 0.0, 1e5},
    RateRange{"cpu_unit_us", 0.0, 1e5},
    RateRange{"crossing_us", 0.0, 1e6},
    RateRange{"driver_bytes", 0.0, 64e9},
    RateRange{"cpu_attention_gb_per_s", 0.01, 1e5},
    RateRange{"cpu_attention_vector_gb_per_s", 0.01, 1e5},
    RateRange{"cpu_cached_attention_gb_per_s", 0.01, 1e5},
    RateRange{"cpu_cached_attention_vector_gb_per_s", 0.01, 1e5},
    RateRange{"cpu_cache_bytes", 1.0, 1e12},
    RateRange{"cpu_attention_scores_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_attention_tops", 1e-3, 1e5},
    RateRange{"cpu_threads", 1.0, 4096},
    RateRange{"gpu_attention_gb_per_s", 0.01, 1e5},
    RateRange{"gpu_attention_tops", 1e-3, 1e5},
    RateRange{"cpu_unit_few_rows_us", 0.0, 1e5},
    RateRange{"cpu_unit_many_rows_us", 0.0, 1e5},
    RateRange{"cpu_mapped_slowdown", 1.0, 100.0},
    RateRange{"cpu_stage_us", 0.0, 1e6},
    RateRange{"gpu_stage_us", 0.0, 1e6},
    RateRange{"stream_rows", 1.0, 1e6},
    RateRange{"cpu_elems_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_head_elems_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_heads_g_per_s", 1e-6, 1e5},
    RateRange{"cpu_geglu_elems_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_input_elems_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_output_elems_g_per_s", 1e-3, 1e5},
    RateRange{"cpu_logit_elems_g_per_s", 1e-3, 1e5},
};

const RateRange* find_range(std::string_view key) noexcept {
  const auto* const found = std::ranges::find(kRateRanges, key, &RateRange::key);
  return found == kRateRanges.end() ? nullptr : found;
}

/// A rate's number; who says so must be there too.
double read_rate(ObjectReader& rates, std::string_view key) {
  const auto* const range = find_range(key);
  auto rate = rates.object(key);
  const auto value = rate.number("value", range->min, range->max);
  if (rate.text("source").empty()) rate.fail("source", "must say where the number comes from");
  rate.finish();
  return value;
}

/// A rate that a profile may leave out; 0 then.
double read_optional(ObjectReader& rates, std::string_view key) {
  return rates.has(key) ? read_rate(rates, key) : 0;
}

ElementRates read_elements(ObjectReader& rates) {
  ElementRates elements;
  elements.norms_g_per_s = read_optional(rates, "cpu_elems_g_per_s");
  elements.heads_g_per_s = read_optional(rates, "cpu_head_elems_g_per_s");
  elements.heads_begun_g_per_s = read_optional(rates, "cpu_heads_g_per_s");
  elements.geglu_g_per_s = read_optional(rates, "cpu_geglu_elems_g_per_s");
  elements.inputs_g_per_s = read_optional(rates, "cpu_input_elems_g_per_s");
  elements.outputs_g_per_s = read_optional(rates, "cpu_output_elems_g_per_s");
  elements.logits_g_per_s = read_optional(rates, "cpu_logit_elems_g_per_s");
  return elements;
}

TypeRates read_type(ObjectReader reader, model::TensorType type) {
  TypeRates rates{type, {}, reader.number("tops", kTypeTops.min, kTypeTops.max)};
  const auto& measured = reader.array("read_gb_per_s");
  if (measured.size() != rates.read_gb_per_s.size()) {
    reader.fail("read_gb_per_s", "must be 4 numbers, for steps of 1, 2, 4 and 8 rows");
  }
  for (std::size_t i = 0; i < measured.size(); ++i) {
    const bool in_range = measured[i].is_number() && kTypeReads.holds(measured[i].get<double>());
    if (!in_range) reader.fail("read_gb_per_s", "must be numbers of 0.01 to 100000");
    rates.read_gb_per_s[i] = measured[i].get<double>();
  }
  if (reader.text("source").empty()) reader.fail("source", "must say where the numbers come from");
  reader.finish();
  return rates;
}

/// The types of the device called `key`; none where it has no entry.
std::vector<TypeRates> read_types(ObjectReader& devices, std::string_view key) {
  std::vector<TypeRates> types;
  if (!devices.has(key)) return types;
  auto reader = devices.object(key);
  for (const auto& info : model::tensor_types()) {
    if (reader.has(info.name)) types.push_back(read_type(reader.object(info.name), info.type));
  }
  reader.finish();
  return types;
}

MachineProfile read_profile(std::string_view text) {
  const auto document = parse_json(text);
  ObjectReader root(document, "");
  if (root.text("schema") != kMachineSchema) {
    root.fail("schema", "must be \"" + std::string(kMachineSchema) + "\"");
  }
  MachineProfile machine;
  machine.name = root.text("name");
  machine.description = root.text("description");
  auto rates = root.object("rates");
  machine.ram_read_gb_per_s = read_rate(rates, "ram_read_gb_per_s");
  machine.vram_read_gb_per_s = read_rate(rates, "vram_read_gb_per_s");
  machine.cpu_int8_tops = read_rate(rates, "cpu_int8_tops");
  machine.cpu_float_tops = read_rate(rates, "cpu_float_tops");
  machine.gpu_int8_tops = read_rate(rates, "gpu_int8_tops");
  machine.gpu_float_tops = read_rate(rates, "gpu_float_tops");
  machine.pcie_gb_per_s = read_rate(rates, "pcie_gb_per_s");
  machine.gpu_launch_us = read_rate(rates, "gpu_launch_us");
  machine.cpu_unit_us = read_rate(rates, "cpu_unit_us");
  machine.crossing_us = read_rate(rates, "crossing_us");
  machine.driver_bytes = static_cast<std::uint64_t>(read_rate(rates, "driver_bytes"));
  machine.cpu_attention_gb_per_s = read_optional(rates, "cpu_attention_gb_per_s");
  machine.cpu_attention_vector_gb_per_s = read_optional(rates, "cpu_attention_vector_gb_per_s");
  machine.cpu_cached_attention_gb_per_s = read_optional(rates, "cpu_cached_attention_gb_per_s");
  machine.cpu_cached_attention_vector_gb_per_s = read_optional(rates, "cpu_cached_attention_vector_gb_per_s");
  machine.cpu_cache_bytes = read_optional(rates, "cpu_cache_bytes");
  machine.cpu_attention_scores_g_per_s = read_optional(rates, "cpu_attention_scores_g_per_s");
  machine.cpu_attention_tops = read_optional(rates, "cpu_attention_tops");
  machine.cpu_threads = read_optional(rates, "cpu_threads");
  machine.cpu_elems = read_elements(rates);
  machine.gpu_attention_gb_per_s = read_optional(rates, "gpu_attention_gb_per_s");
  machine.gpu_attention_tops = read_optional(rates, "gpu_attention_tops");
  machine.cpu_unit_few_rows_us = read_optional(rates, "cpu_unit_few_rows_us");
  machine.cpu_unit_many_rows_us = read_optional(rates, "cpu_unit_many_rows_us");
  machine.cpu_mapped_slowdown = read_optional(rates, "cpu_mapped_slowdown");
  machine.cpu_stage_us = read_optional(rates, "cpu_stage_us");
  machine.gpu_stage_us = read_optional(rates, "gpu_stage_us");
  machine.stream_rows = read_optional(rates, "stream_rows");
  rates.finish();
  if (root.has("block_types")) {
    auto devices = root.object("block_types");
    machine.cpu_types = read_types(devices, "cpu");
    machine.gpu_types = read_types(devices, "gpu");
    devices.finish();
  }
  if (root.has("measured")) root.object("measured");
  root.finish();
  return machine;
}

}  // namespace

MachineProfile parse_machine(std::string_view text, std::string_view origin) {
  try {
    return read_profile(text);
  } catch (const BadField& field) {
    throw BadProfile("machine profile " + std::string(origin) + ": " + field.what());
  }
}

bool is_credible(const TypeRates& rates) noexcept {
  return kTypeTops.holds(rates.tops) &&
         std::ranges::all_of(rates.read_gb_per_s, [](double gb_per_s) { return kTypeReads.holds(gb_per_s); });
}

bool is_credible_rate(std::string_view key, double value) noexcept {
  const auto* const range = find_range(key);
  return range != nullptr && range->holds(value);
}

std::vector<std::string_view> machine_names() {
  std::vector<std::string_view> names(kBuiltins.size());
  std::ranges::transform(kBuiltins, names.begin(), &Builtin::name);
  return names;
}

MachineProfile builtin_machine(std::string_view name) {
  for (const auto& builtin : kBuiltins) {
    if (builtin.name == name) return parse_machine(builtin.json, name);
  }
  if (const auto machine = machine_from_parts(name)) return *machine;
  const auto gpus = known_gpus();
  auto names = machine_names();
  std::ranges::transform(gpus, std::back_inserter(names), &GpuPart::name);
  throw BadProfile("no machine profile is called \"" + std::string(name) + "\"",
                   "the nearest name is \"" + std::string(model::nearest(name, names)) +
                       "\"; tandem plan --machine list shows all");
}

}  // namespace tandem::planner
