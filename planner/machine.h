#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::planner {

/// What a machine can do: rates that are reached, not peaks on a box.  Times in a plan come from these
/// numbers only.  GB and tera are decimal; an operation is a multiply or an add.
struct MachineProfile {
  std::string name;
  std::string description;
  double ram_read_gb_per_s = 0;   ///< all cores reading weights
  double vram_read_gb_per_s = 0;  ///< a kernel reading weights
  double cpu_int8_tops = 0;       ///< all cores, products of quantised weights and activations
  double cpu_float_tops = 0;      ///< all cores, float products: attention, F16 and BF16 weights
  double gpu_int8_tops = 0;
  double gpu_float_tops = 0;       ///< fp16 in, fp32 accumulated
  double pcie_gb_per_s = 0;        ///< pinned memory, one direction
  double gpu_launch_us = 0;        ///< a unit's kernels beyond their work, inside a captured graph
  double cpu_unit_us = 0;          ///< a unit's barriers between operations
  double crossing_us = 0;          ///< passing rows to the other device: copy set-up and synchronisation
  std::uint64_t driver_bytes = 0;  ///< VRAM a process takes before its first allocation

  bool operator==(const MachineProfile&) const = default;
};

/// Reads profile JSON: `{"schema": "tandem.machine/1", "name", "description", "rates": {NAME: {"value",
/// "source"}}}` with the members above as names.  Throws BadProfile for a missing, unknown, non-finite or
/// absurd number, or one without a source.  `origin` names the text in messages.
MachineProfile parse_machine(std::string_view json, std::string_view origin);

/// Names of the whole profiles in config/machines, which are built in.
std::vector<std::string_view> machine_names();

/// The built-in profile called `name`, or the machine made of parts that it names (machine_parts.h).  Throws
/// BadProfile with the nearest known name.
MachineProfile builtin_machine(std::string_view name);

}  // namespace tandem::planner
