// What it costs to place a model: the exact optimum alone (`fastest`), and a whole plan with its reasons
// (`make_plan`), for every catalogue model of the list, over budgets of VRAM and RAM and what is optimised.
//
//   bench_planner

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "bench/clock.h"
#include "model/catalogue.h"
#include "planner/make_plan.h"
#include "planner/names.h"
#include "planner/optimum.h"

namespace {

using namespace tandem;
using namespace tandem::planner;
using bench::now_ms;

constexpr std::uint64_t kMiB = 1ULL << 20;

struct Times {
  std::vector<double> ms;
  int unproven = 0;

  [[nodiscard]] double at(double part) {
    std::ranges::sort(ms);
    return ms[static_cast<std::size_t>(part * static_cast<double>(ms.size() - 1))];
  }
};

void report(const std::string& what, Times times) {
  std::printf("%-44s %5zu runs  median %7.2f  99%% %7.2f  worst %7.2f ms  cut short %d\n", what.c_str(),
              times.ms.size(), times.at(0.5), times.at(0.99), times.at(1), times.unproven);
}

/// `sequences` of 8192 tokens in `ram_bytes` of RAM.
void run(const std::string& name, Optimise optimise, std::uint64_t ram_bytes) {
  const auto header = model::catalogue_header(name);
  const auto input = model_input(header, model::read_hyperparameters(header));
  const auto machine = builtin_machine("default");
  Times optimum;
  Times plan;
  for (std::uint64_t vram_mib = 2048; vram_mib <= std::uint64_t{24} * 1024; vram_mib += 1103) {
    const Budget budget{vram_mib * kMiB, ram_bytes, 0, 0};
    Workload workload;
    workload.optimise = optimise;
    workload.expected_context = 2048;
    auto start_ms = now_ms();
    const auto choice = fastest(input, budget, workload, machine, Device::cuda0);
    optimum.ms.push_back(now_ms() - start_ms);
    if (choice && !choice->proven()) ++optimum.unproven;
    start_ms = now_ms();
    make_plan(input, budget, workload, machine, {Device::cuda0});
    plan.ms.push_back(now_ms() - start_ms);
  }
  const auto what =
      name + " " + std::string(to_string(optimise)) + " " + std::to_string(ram_bytes / kMiB / 1024) + " GiB";
  report(what + " optimum", std::move(optimum));
  report(what + " plan", std::move(plan));
}

}  // namespace

int main() {
  for (const auto* name : {"gemma3-27b-qat-q4_0", "gemma3-27b-q4_k_m", "gemma4-31b-q4_k_m"}) {
    for (const auto& optimise : kOptimiseNames) {
      for (const std::uint64_t ram_gib : {64, 12}) run(name, optimise.value, ram_gib * 1024 * kMiB);
    }
  }
}
