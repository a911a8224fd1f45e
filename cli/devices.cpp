#include <cstdint>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "cli/child_task.h"
#include "cli/commands.h"
#include "ipc/json_fields.h"
#include "planner/printable.h"
#include "planner/size_text.h"

namespace tandem::cli {
namespace {

using ipc::OrderedJson;

/// "a, b and c", or what stands for none of them.
std::string listed(const OrderedJson& names, const char* none) {
  std::string text;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) text += i + 1 < names.size() ? ", " : " and ";
    text += names[i].is_string() ? names[i].get<std::string>() : names[i].dump();
  }
  return text.empty() ? none : text;
}

std::string sizes(const OrderedJson& bytes) {
  std::string text;
  for (const auto& size : bytes) {
    if (size == 0) continue;  // a level that there is not
    text += (text.empty() ? "" : ", ") + planner::short_size(size.get<std::uint64_t>());
  }
  return text.empty() ? "unknown" : text;
}

void print_line(const char* name, const std::string& value) {
  std::printf("%-12s %s\n", name, planner::printable(value).c_str());
}

void print_cpu(const OrderedJson& cpu) {
  print_line("cpu", cpu.at("name"));
  print_line("cores", cpu.at("cores").dump() + " for " + cpu.at("hardware_threads").dump() +
                          " hardware threads, NUMA nodes " + listed(cpu.at("numa_nodes"), "unknown"));
  print_line("threads",
             cpu.at("threads").dump() + ", " + cpu.at("pinned_threads").dump() + " of them pinned");
  print_line("kernels", cpu.at("kernels").get<std::string>() + "; it could run " +
                            listed(cpu.at("other_kernels"), "no others"));
  print_line("caches", sizes(cpu.at("cache_bytes")));
  print_line("ram", planner::short_size(cpu.at("available_ram_bytes")) + " available");
}

void print_gpu(const OrderedJson& gpu) {
  const auto capability = gpu.at("compute_capability").get<unsigned>();
  print_line(gpu.at("device").get<std::string>().c_str(),
             gpu.at("name").get<std::string>() + ", " + planner::short_size(gpu.at("bytes")) +
                 ", compute capability " + std::to_string(capability / 10) + "." +
                 std::to_string(capability % 10) + ", " + gpu.at("multiprocessors").dump() +
                 " multiprocessors");
}

int list_devices(bool json) {
  const auto text = run_tandemd({"--list-devices"});
  if (json) {
    std::cout << text;
    return kOk;
  }
  const auto devices = OrderedJson::parse(text);
  print_cpu(devices.at("cpu"));
  for (const auto& gpu : devices.at("gpus")) print_gpu(gpu);
  if (devices.at("gpus").empty())
    print_line("gpu", "none: " + devices.at("no_gpu_because").get<std::string>());
  const auto& profile = devices.at("profile");
  print_line("profile", profile.is_null() ? "none measured yet: tandem calibrate, or the daemon's first start"
                                          : profile.get<std::string>());
  return kOk;
}

}  // namespace

Command devices_command(CLI::App& parent) {
  const auto json = std::make_shared<bool>(false);
  auto* const app =
      parent.add_subcommand("devices", "Show what this machine has to compute with, and the kernels for it");
  app->add_flag("--json", *json, "print it as JSON");
  return {app, [json] { return list_devices(*json); }};
}

}  // namespace tandem::cli
