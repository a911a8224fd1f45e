#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/child_task.h"
#include "cli/commands.h"
#include "hardware/profile_cache.h"
#include "ipc/json_fields.h"
#include "planner/machine.h"

namespace tandem::cli {
namespace {

struct CalibrateOptions {
  std::string output;
  bool quick = false;
  bool json = false;
};

void print_rate(const char* name, const std::string& value, const char* unit) {
  std::printf("%-22s %10s %s\n", name, value.c_str(), unit);
}

std::string two_decimals(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

void print_types(const planner::MachineProfile& machine) {
  std::printf("\n%-8s %8s %8s %8s %8s %12s\n", "GB/s of", "1 row", "2 rows", "4 rows", "8 rows",
              "tera-ops/s");
  for (const auto& rates : machine.cpu_types) {
    const auto& read = rates.read_gb_per_s;
    const std::string name(model::tensor_type_info(rates.type).name);
    std::printf("%-8s %8.2f %8.2f %8.2f %8.2f %12.3f\n", name.c_str(), read[0], read[1], read[2], read[3],
                rates.tops);
  }
}

/// The profile in words; `measured` is its object of that name.
void print_profile(const planner::MachineProfile& machine, const ipc::Json& measured) {
  std::printf("%s\n\n", machine.description.c_str());
  for (const auto& speed : measured.at("read_by_threads")) {
    const int threads = speed.at("threads");
    const auto name = "memory, " + std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    print_rate(name.c_str(), two_decimals(speed.at("gb_per_s")), "GB/s");
  }
  for (const auto& speed : measured.at("read_by_numa_node")) {
    const auto name = "memory, NUMA node " + std::to_string(speed.at("node").get<int>());
    print_rate(name.c_str(), two_decimals(speed.at("gb_per_s")), "GB/s");
  }
  print_rate("integer products", two_decimals(machine.cpu_int8_tops), "tera-ops/s");
  print_rate("float products", two_decimals(machine.cpu_float_tops), "tera-ops/s");
  if (machine.cpu_attention_gb_per_s > 0) {
    print_rate("attention, keys", two_decimals(machine.cpu_attention_gb_per_s), "GB/s");
    print_rate("attention, products", two_decimals(machine.cpu_attention_tops * 1e3), "giga-ops/s");
  }
  const auto& elems = machine.cpu_elems;
  for (const auto& [name, g_per_s] :
       {std::pair{"norms", elems.norms_g_per_s}, std::pair{"heads", elems.heads_g_per_s},
        std::pair{"GeGLU", elems.geglu_g_per_s}, std::pair{"inputs of matrices", elems.inputs_g_per_s},
        std::pair{"outputs of matrices", elems.outputs_g_per_s},
        std::pair{"logits capped", elems.logits_g_per_s}}) {
    if (g_per_s > 0) print_rate(name, two_decimals(g_per_s), "giga-elements/s");
  }
  if (machine.cpu_mapped_slowdown > 0)
    print_rate("weights as in the file", two_decimals(machine.cpu_mapped_slowdown), "x as long as repacked");
  print_rate("a unit's barriers", two_decimals(machine.cpu_unit_us), "us");
  print_rate("a stage's start", two_decimals(machine.cpu_stage_us), "us");
  if (machine.stream_rows > 0) print_rate("streaming pays from", two_decimals(machine.stream_rows), "rows");
  print_types(machine);
}

int calibrate(const CalibrateOptions& options) {
  std::vector<std::string> flags{"--calibrate"};
  if (options.quick) flags.emplace_back("--quick");
  const auto profile = run_tandemd(flags);
  const auto path = options.output.empty()
                        ? hardware::profile_path(hardware::cache_folders().front(), hardware::this_machine(0))
                        : std::filesystem::path(options.output);
  // Printed before it is written: where that fails, nothing is lost.
  if (options.json) {
    std::cout << profile << std::flush;
    hardware::write_profile(profile, path);
    return kOk;
  }
  print_profile(planner::parse_machine(profile, path.string()), ipc::Json::parse(profile).at("measured"));
  std::fflush(stdout);
  hardware::write_profile(profile, path);
  std::printf("\nkept in %s%s\n", path.c_str(),
              options.output.empty() ? ": tandem plan and tandemd count with it" : "");
  return kOk;
}

}  // namespace

Command calibrate_command(CLI::App& parent) {
  const auto options = std::make_shared<CalibrateOptions>();
  auto* const app = parent.add_subcommand(
      "calibrate", "Measure this machine, in under a minute, so that plans know its speed");
  app->add_option("--output", options->output,
                  "write the profile here instead, for tandem plan --machine FILE")
      ->type_name("FILE");
  app->add_flag("--quick", options->quick, "in seconds, less exactly");
  app->add_flag("--json", options->json, "print the profile");
  return {app, [options] { return calibrate(*options); }};
}

}  // namespace tandem::cli
