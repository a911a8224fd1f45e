#include "planner/machine_parts.h"

#include <algorithm>
#include <utility>

#include "embedded/machine_assumed.h"
#include "embedded/machine_cpus.h"
#include "embedded/machine_gpus.h"
#include "model/nearest.h"
#include "planner/errors.h"
#include "planner/json_reader.h"

namespace tandem::planner {
namespace {

/// The facts of a part: numbers with sources.
class FactReader {
 public:
  explicit FactReader(ObjectReader facts) : facts_(std::move(facts)) {}

  double number(std::string_view key, double min, double max) {
    auto fact = facts_.object(key);
    const auto value = fact.number("value", min, max);
    finish(fact);
    return value;
  }
  std::uint32_t integer(std::string_view key, std::uint32_t min, std::uint32_t max) {
    auto fact = facts_.object(key);
    const auto value = fact.uint32("value", min, max);
    finish(fact);
    return value;
  }
  void finish() const { facts_.finish(); }

 private:
  static void finish(ObjectReader& fact) {
    if (fact.text("source").empty()) fact.fail("source", "must say where the number comes from");
    fact.finish();
  }

  ObjectReader facts_;
};

/// Reads a document of `schema` by `read_facts`, and its name and description by `read_names`.
template <typename Part, typename ReadNames, typename ReadFacts>
Part read_part(std::string_view json, std::string_view origin, std::string_view schema, ReadNames read_names,
               ReadFacts read_facts) {
  try {
    const auto document = parse_json(json);
    ObjectReader root(document, "");
    if (root.text("schema") != schema) root.fail("schema", "must be \"" + std::string(schema) + "\"");
    Part part;
    read_names(root, part);
    FactReader facts(root.object("facts"));
    read_facts(facts, part);
    facts.finish();
    root.finish();
    return part;
  } catch (const BadField& field) {
    throw BadProfile("machine part " + std::string(origin) + ": " + field.what());
  }
}

template <typename Part>
void read_name_and_description(ObjectReader& root, Part& part) {
  part.name = root.text("name");
  part.description = root.text("description");
}

/// The one of `parts` called `name`; throws BadProfile with the nearest one.
template <typename Part>
const Part& part_called(std::string_view kind, std::string_view name, const std::vector<Part>& parts) {
  const auto found = std::ranges::find(parts, name, &Part::name);
  if (found != parts.end()) return *found;
  std::vector<std::string> names(parts.size());
  std::ranges::transform(parts, names.begin(), &Part::name);
  throw BadProfile("no " + std::string(kind) + " is called \"" + std::string(name) + "\"",
                   "the nearest name is \"" + std::string(model::nearest(name, names)) +
                       "\"; tandem plan --machine list shows all");
}

}  // namespace

GpuPart parse_gpu(std::string_view json, std::string_view origin) {
  return read_part<GpuPart>(
      json, origin, "tandem.gpu/1", read_name_and_description<GpuPart>, [](FactReader& facts, GpuPart& gpu) {
        gpu.vram_bytes = static_cast<std::uint64_t>(facts.number("vram_mib", 256, 1e7)) << 20;
        gpu.memory_bus_bits = facts.number("memory_bus_bits", 32, 65536);
        gpu.memory_gbit_per_s_per_pin = facts.number("memory_gbit_per_s_per_pin", 0.1, 1e3);
        gpu.sms = facts.number("sms", 1, 4096);
        gpu.boost_ghz = facts.number("boost_ghz", 0.1, 10);
        gpu.float_fma_per_sm_clock = facts.number("float_fma_per_sm_clock", 1, 1e6);
        gpu.int8_fma_per_sm_clock = facts.number("int8_fma_per_sm_clock", 1, 1e6);
        gpu.pcie_generation = facts.integer("pcie_generation", 3, 5);
        gpu.pcie_lanes = facts.integer("pcie_lanes", 1, 16);
      });
}

CpuPart parse_cpu(std::string_view json, std::string_view origin) {
  return read_part<CpuPart>(
      json, origin, "tandem.cpu/1", read_name_and_description<CpuPart>, [](FactReader& facts, CpuPart& cpu) {
        cpu.memory_channels = facts.number("memory_channels", 1, 64);
        cpu.memory_megatransfers_per_s = facts.number("memory_megatransfers_per_s", 100, 1e5);
        cpu.memory_bytes_per_transfer = facts.number("memory_bytes_per_transfer", 1, 64);
        cpu.cores = facts.number("cores", 1, 4096);
        cpu.ghz = facts.number("ghz", 0.1, 10);
        cpu.float_fma_per_core_clock = facts.number("float_fma_per_core_clock", 1, 1024);
        cpu.int8_gops_per_core = facts.number("int8_gops_per_core", 1, 1e5);
        cpu.pcie_generation = facts.integer("pcie_generation", 3, 5);
      });
}

AssumedFacts parse_assumed(std::string_view json, std::string_view origin) {
  const auto read_names = [](ObjectReader& root, AssumedFacts&) { root.text("description"); };
  return read_part<AssumedFacts>(
      json, origin, "tandem.assumed/1", read_names, [](FactReader& facts, AssumedFacts& assumed) {
        constexpr double kLeastShare = 0.01;
        assumed.vram_read_reached = facts.number("vram_read_reached", kLeastShare, 1);
        assumed.ram_read_reached = facts.number("ram_read_reached", kLeastShare, 1);
        assumed.gpu_int8_reached = facts.number("gpu_int8_reached", kLeastShare, 1);
        assumed.gpu_float_reached = facts.number("gpu_float_reached", kLeastShare, 1);
        assumed.cpu_float_reached = facts.number("cpu_float_reached", kLeastShare, 1);
        assumed.pcie_reached = facts.number("pcie_reached", kLeastShare, 1);
        assumed.gpu_launch_us = facts.number("gpu_launch_us", 0, 1e5);
        assumed.cpu_unit_us = facts.number("cpu_unit_us", 0, 1e5);
        assumed.crossing_us = facts.number("crossing_us", 0, 1e6);
        assumed.driver_bytes = facts.number("driver_bytes", 0, 64e9);
      });
}

std::vector<GpuPart> known_gpus() {
  std::vector<GpuPart> gpus(embedded::machine_gpus.size());
  std::ranges::transform(embedded::machine_gpus, gpus.begin(),
                         [](const auto& file) { return parse_gpu(file.second, file.first); });
  return gpus;
}

std::vector<CpuPart> known_cpus() {
  std::vector<CpuPart> cpus(embedded::machine_cpus.size());
  std::ranges::transform(embedded::machine_cpus, cpus.begin(),
                         [](const auto& file) { return parse_cpu(file.second, file.first); });
  return cpus;
}

AssumedFacts known_assumptions() {
  return parse_assumed(embedded::machine_assumed, "assumed");
}

double pcie_lane_gb_per_s(std::uint32_t generation) noexcept {
  constexpr double kThird = 8.0 * 128 / 130 / 8;
  if (generation == 3) return kThird;
  if (generation == 4) return 2 * kThird;
  if (generation == 5) return 4 * kThird;
  return 0;
}

MachineProfile combine(const GpuPart& gpu, const CpuPart& cpu, const AssumedFacts& assumed) {
  const auto generation = std::min(gpu.pcie_generation, cpu.pcie_generation);
  MachineProfile machine;
  machine.name = gpu.name + "+" + cpu.name;
  machine.description = gpu.description + ", PCIe " + std::to_string(generation) + ".0 x" +
                        std::to_string(gpu.pcie_lanes) + "; " + cpu.description;
  machine.ram_read_gb_per_s = cpu.peak_gb_per_s() * assumed.ram_read_reached;
  machine.vram_read_gb_per_s = gpu.peak_gb_per_s() * assumed.vram_read_reached;
  machine.cpu_int8_tops = cpu.cores * cpu.int8_gops_per_core / 1e3;
  machine.cpu_float_tops = cpu.peak_float_tops() * assumed.cpu_float_reached;
  machine.gpu_int8_tops = gpu.peak_int8_tops() * assumed.gpu_int8_reached;
  machine.gpu_float_tops = gpu.peak_float_tops() * assumed.gpu_float_reached;
  machine.pcie_gb_per_s = pcie_lane_gb_per_s(generation) * gpu.pcie_lanes * assumed.pcie_reached;
  machine.gpu_launch_us = assumed.gpu_launch_us;
  machine.cpu_unit_us = assumed.cpu_unit_us;
  machine.crossing_us = assumed.crossing_us;
  machine.driver_bytes = static_cast<std::uint64_t>(assumed.driver_bytes);
  return machine;
}

std::optional<MachineProfile> machine_from_parts(std::string_view name) {
  const auto gpus = known_gpus();
  const auto plus = name.find('+');
  const bool is_gpu = std::ranges::find(gpus, name, &GpuPart::name) != gpus.end();
  if (plus == std::string_view::npos && !is_gpu) return std::nullopt;
  const auto& gpu = part_called("GPU", name.substr(0, plus), gpus);
  const auto cpu_name = is_gpu ? kDefaultCpu : name.substr(plus + 1);
  return combine(gpu, part_called("CPU", cpu_name, known_cpus()), known_assumptions());
}

std::optional<std::uint64_t> card_bytes(std::string_view name) {
  const auto gpus = known_gpus();
  const auto gpu = std::ranges::find(gpus, name.substr(0, name.find('+')), &GpuPart::name);
  if (gpu == gpus.end()) return std::nullopt;
  return gpu->vram_bytes;
}

}  // namespace tandem::planner
