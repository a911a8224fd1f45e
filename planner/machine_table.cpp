#include "planner/machine_table.h"

#include <nlohmann/json.hpp>

#include "planner/columns.h"
#include "planner/machine_parts.h"
#include "planner/size_text.h"

namespace tandem::planner {
namespace {

constexpr std::size_t kNameColumns = 18;
constexpr std::size_t kNumberColumns = 12;

std::string row(const std::string& name, const std::string& memory, const std::string& first,
                const std::string& second, const std::string& third) {
  return "  " + padded_right(name, kNameColumns) + padded_left(memory, kNumberColumns) +
         padded_left(first, kNumberColumns) + padded_left(second, kNumberColumns) +
         padded_left(third, kNumberColumns) + "\n";
}

std::string pcie_text(const GpuPart& gpu) {
  return std::to_string(gpu.pcie_generation) + ".0 x" + std::to_string(gpu.pcie_lanes);
}

}  // namespace

std::string machine_table() {
  auto text = std::string("whole profiles\n");
  for (const auto name : machine_names()) {
    const auto machine = builtin_machine(name);
    text += wrapped("  " + padded_right(machine.name, kNameColumns) + " ", machine.description);
  }
  text += "\ncards" + row("", "memory", "GB/s", "fp16 TFLOPS", "PCIe").substr(5);
  for (const auto& gpu : known_gpus()) {
    text += row(gpu.name, exact_size(gpu.vram_bytes), three_digits(gpu.peak_gb_per_s()),
                three_digits(gpu.peak_float_tops()), pcie_text(gpu));
  }
  text += "\nprocessors" + row("", "cores", "GB/s", "fp32 TFLOPS", "PCIe").substr(10);
  for (const auto& cpu : known_cpus()) {
    text += row(cpu.name, grouped(static_cast<std::uint64_t>(cpu.cores)), three_digits(cpu.peak_gb_per_s()),
                three_digits(cpu.peak_float_tops()), std::to_string(cpu.pcie_generation) + ".0");
  }
  return text + "\n" +
         wrapped("",
                 "--machine CARD+PROCESSOR, as in rtx4090+ddr5-5600; a card alone stands beside " +
                     std::string(kDefaultCpu) +
                     ". Figures are of specifications; config/machines says which, and how much of them a "
                     "plan counts on.");
}

std::string machines_to_text() {
  using json = nlohmann::ordered_json;
  json profiles = json::array();
  for (const auto name : machine_names()) {
    profiles.push_back({{"name", name}, {"description", builtin_machine(name).description}});
  }
  json gpus = json::array();
  for (const auto& gpu : known_gpus()) {
    gpus.push_back({{"name", gpu.name},
                    {"description", gpu.description},
                    {"vram_bytes", gpu.vram_bytes},
                    {"gb_per_s", gpu.peak_gb_per_s()},
                    {"float_tops", gpu.peak_float_tops()},
                    {"int8_tops", gpu.peak_int8_tops()},
                    {"pcie_generation", gpu.pcie_generation},
                    {"pcie_lanes", gpu.pcie_lanes}});
  }
  json cpus = json::array();
  for (const auto& cpu : known_cpus()) {
    cpus.push_back({{"name", cpu.name},
                    {"description", cpu.description},
                    {"cores", cpu.cores},
                    {"gb_per_s", cpu.peak_gb_per_s()},
                    {"float_tops", cpu.peak_float_tops()},
                    {"pcie_generation", cpu.pcie_generation}});
  }
  const json document{
      {"schema", "tandem.machines/1"}, {"profiles", profiles}, {"gpus", gpus}, {"cpus", cpus}};
  return document.dump(2) + "\n";
}

}  // namespace tandem::planner
