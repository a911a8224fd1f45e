#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "planner/machine.h"

namespace tandem::planner {

/// A graphics card as its vendor specifies it.
struct GpuPart {
  std::string name;
  std::string description;
  std::uint64_t vram_bytes = 0;  ///< what the driver offers in total
  double memory_bus_bits = 0;
  double memory_gbit_per_s_per_pin = 0;
  double sms = 0;
  double boost_ghz = 0;
  double float_fma_per_sm_clock = 0;  ///< fp16 in, fp32 accumulated, no sparsity
  double int8_fma_per_sm_clock = 0;
  std::uint32_t pcie_generation = 0;
  std::uint32_t pcie_lanes = 0;

  /// Bus width times the rate of a pin, in bytes.
  [[nodiscard]] double peak_gb_per_s() const noexcept {
    return memory_bus_bits * memory_gbit_per_s_per_pin / 8;
  }
  /// SMs times clock times 2 operations an FMA.
  [[nodiscard]] double peak_float_tops() const noexcept {
    return sms * boost_ghz * 2 * float_fma_per_sm_clock / 1e3;
  }
  [[nodiscard]] double peak_int8_tops() const noexcept {
    return sms * boost_ghz * 2 * int8_fma_per_sm_clock / 1e3;
  }
};

/// A processor with its memory.
struct CpuPart {
  std::string name;
  std::string description;
  double memory_channels = 0;
  double memory_megatransfers_per_s = 0;
  double memory_bytes_per_transfer = 0;
  double cores = 0;
  double ghz = 0;
  double float_fma_per_core_clock = 0;
  double int8_gops_per_core = 0;  ///< reached, not a peak
  std::uint32_t pcie_generation = 0;

  [[nodiscard]] double peak_gb_per_s() const noexcept {
    return memory_channels * memory_megatransfers_per_s * memory_bytes_per_transfer / 1e3;
  }
  [[nodiscard]] double peak_float_tops() const noexcept {
    return cores * ghz * 2 * float_fma_per_core_clock / 1e3;
  }
};

/// How much of a specification is reached, and what no specification says.
struct AssumedFacts {
  double vram_read_reached = 0;
  double ram_read_reached = 0;
  double gpu_int8_reached = 0;
  double gpu_float_reached = 0;
  double cpu_float_reached = 0;
  double pcie_reached = 0;
  double gpu_launch_us = 0;
  double cpu_unit_us = 0;
  double crossing_us = 0;
  double driver_bytes = 0;
};

/// Read JSON of config/machines/gpu, cpu and assumed.json: `{"schema", "name", "description", "facts": {NAME:
/// {"value", "source"}}}` with the members above as names (`vram_mib` for vram_bytes).  Throw BadProfile for
/// a missing, unknown, non-finite or absurd number, or one without a source.  `origin` names the text in
/// messages.
GpuPart parse_gpu(std::string_view json, std::string_view origin);
CpuPart parse_cpu(std::string_view json, std::string_view origin);
AssumedFacts parse_assumed(std::string_view json, std::string_view origin);

/// The parts in config/machines, which are built in, by name.
std::vector<GpuPart> known_gpus();
std::vector<CpuPart> known_cpus();
AssumedFacts known_assumptions();

/// GB/s of one PCIe lane in one direction, after its line code (PCI Express base specification): 8 GT/s with
/// 128/130 in generation 3, doubled by each later one.  0 for a generation that is not 3, 4 or 5.
double pcie_lane_gb_per_s(std::uint32_t generation) noexcept;

/// The machine "GPU+CPU".  Every rate is a peak times what is assumed to be reached of it; PCIe runs at the
/// older generation of both.
MachineProfile combine(const GpuPart& gpu, const CpuPart& cpu, const AssumedFacts& assumed);

/// The machine called "GPU+CPU", or "GPU" on a desktop with kDefaultCpu; nothing if `name` has no '+' and is
/// no GPU's.  Throws BadProfile with the nearest name where one side of the '+' is unknown.
std::optional<MachineProfile> machine_from_parts(std::string_view name);
inline constexpr std::string_view kDefaultCpu = "ddr5-5600";

/// Memory of the card in the machine called `name`; nothing where no card is named.
std::optional<std::uint64_t> card_bytes(std::string_view name);

}  // namespace tandem::planner
