// Whether every search for a placement ends with a proof, and how long the slowest takes: every catalogue
// model on every machine of config/machines (each card beside each processor), for 1, 2 and 4 sequences of
// 8,192 tokens, VRAM of 6 to 24 GiB and every aim.
//
// Times are of the processor: a run takes so long that a machine does other work meanwhile.  What a user
// waits is measured by bench_planner.
//
//   placement_grid [--plans] [MACHINE...]     --plans: whole plans with their reasons, too

#include <algorithm>
#include <array>
#include <cstdio>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/clock.h"
#include "model/catalogue.h"
#include "planner/machine_parts.h"
#include "planner/make_plan.h"
#include "planner/names.h"
#include "planner/optimum.h"

namespace {

using namespace tandem;
using namespace tandem::planner;
using bench::processor_ms;

constexpr std::uint64_t kGiB = 1ULL << 30;
constexpr std::uint64_t kLeastGib = 6;
constexpr std::uint64_t kMostGib = 24;
constexpr double kLongPlacementMs = 30;
constexpr double kLongPlanMs = 200;

/// What searches with one aim and number of sequences came to.
struct Tally {
  std::vector<double> ms;
  std::size_t cut_short = 0;
  std::size_t too_long = 0;

  void add(double took_ms, double long_ms) {
    ms.push_back(took_ms);
    too_long += took_ms > long_ms ? 1 : 0;
  }
  double at(double part) {
    std::ranges::sort(ms);
    return ms[static_cast<std::size_t>(part * static_cast<double>(ms.size() - 1))];
  }
};

using Tallies = std::map<std::string, Tally>;

struct Subject {
  std::string name;
  ModelInput input;
};

std::vector<Subject> all_models() {
  std::vector<Subject> models;
  for (const auto& name : model::catalogue_names()) {
    const auto header = model::catalogue_header(name);
    models.push_back({name, model_input(header, model::read_hyperparameters(header))});
  }
  return models;
}

std::vector<std::string> all_machines() {
  const auto whole = machine_names();
  std::vector<std::string> names(whole.begin(), whole.end());
  for (const auto& gpu : known_gpus()) {
    for (const auto& cpu : known_cpus()) names.push_back(gpu.name + "+" + cpu.name);
  }
  return names;
}

/// The processor time of `action`: of once, or while that is above `long_ms` the shortest of a few times.
template <typename Action>
double shortest_ms(double long_ms, Action action) {
  constexpr int kRepeats = 5;
  auto shortest = std::numeric_limits<double>::infinity();
  for (int repeat = 0; repeat < kRepeats && shortest > long_ms; ++repeat) {
    const auto start_ms = processor_ms();
    action();
    shortest = std::min(shortest, processor_ms() - start_ms);
  }
  return shortest;
}

void run(const Subject& model, const MachineProfile& machine, const Workload& asked, Tallies& placements,
         Tallies* plans) {
  const auto aim = std::string(to_string(asked.optimise)) + ", " + std::to_string(asked.sequences);
  for (auto gib = kLeastGib; gib <= kMostGib; ++gib) {
    Budget budget;
    budget.vram_bytes = gib * kGiB;
    const auto where = machine.name + " " + model.name + " " + aim + " " + std::to_string(gib) + " GiB";
    auto workload = asked;
    std::optional<Choice> choice;
    const auto took_ms = shortest_ms(
        kLongPlacementMs, [&] { choice = fastest(model.input, budget, workload, machine, Device::cuda0); });
    auto& tally = placements[aim];
    tally.add(took_ms, kLongPlacementMs);
    if (choice && !choice->proven()) {
      ++tally.cut_short;
      std::printf("cut short: %s, %.1f ms, %.4f %%\n", where.c_str(), took_ms,
                  100 * (static_cast<double>(choice->time_ps) / static_cast<double>(choice->bound_ps) - 1));
    } else if (took_ms > kLongPlacementMs) {
      std::printf("long: %s, %.1f ms\n", where.c_str(), took_ms);
    }
    if (plans == nullptr) continue;
    const auto plan_ms =
        shortest_ms(kLongPlanMs, [&] { make_plan(model.input, budget, workload, machine, {Device::cuda0}); });
    (*plans)[aim].add(plan_ms, kLongPlanMs);
  }
}

void report(const char* what, Tallies& tallies) {
  std::printf("%s\n", what);
  for (auto& [aim, tally] : tallies) {
    std::printf(
        "  %-16s %7zu runs  median %6.2f  99.9%% %6.2f  worst %6.2f ms  too long %zu  cut short %zu\n",
        aim.c_str(), tally.ms.size(), tally.at(0.5), tally.at(0.999), tally.at(1), tally.too_long,
        tally.cut_short);
  }
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<std::string> machines(argv + 1, argv + argc);
  const bool with_plans = std::erase(machines, "--plans") > 0;
  if (machines.empty()) machines = all_machines();
  const auto models = all_models();
  Tallies placements;
  Tallies plans;
  for (const auto& name : machines) {
    const auto machine = builtin_machine(name);
    for (const auto& model : models) {
      for (const auto& aim : kOptimiseNames) {
        for (const std::uint32_t sequences : {1, 2, 4}) {
          Workload workload;
          workload.sequences = sequences;
          workload.expected_context = 2048;
          workload.optimise = aim.value;
          run(model, machine, workload, placements, with_plans ? &plans : nullptr);
        }
      }
    }
    std::fflush(stdout);
  }
  report("placements", placements);
  if (with_plans) report("plans", plans);
}
