// Predicted beside measured: steps of whole models on the CPU, timed one by one, and what the planner's cost
// model says of them with a profile that `tandem calibrate` wrote.  Contexts are filled with zeros: what a
// key holds does not change how long it takes.  accuracy.py runs this in turn with calibrations and sums it
// up.

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "daemon/engine/plan_executor.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "planner/cost.h"
#include "planner/make_plan.h"

namespace {

using namespace tandem;

constexpr std::uint32_t kChunkRows = 128;  // a shorter chunk than the daemon's, for the time it takes
constexpr std::uint32_t kSequences = 8;

struct Options {
  std::string machine;
  std::vector<std::string> models;
  std::vector<std::uint64_t> contexts{0, 1024, 8192, 32768};
  unsigned threads = 0;
  double sample_s = 0.05;
};

/// One step: `rows` rows of each of `sequences`, behind `context` tokens.
struct Cell {
  bool is_prefill = false;
  std::uint64_t context = 0;
  std::uint32_t rows = 1;
  std::uint32_t sequences = 1;
};

std::vector<Cell> cells_of(const Options& options) {
  constexpr std::uint64_t kSparseFrom = 32768;  // one sequence is enough where a cell takes long
  std::vector<Cell> cells;
  for (const auto context : options.contexts) {
    for (std::uint32_t sequences = 1; sequences <= kSequences; sequences *= 2) {
      if (context >= kSparseFrom && sequences > 1) break;
      cells.push_back({false, context, 1, sequences});
      if (sequences == 1 || sequences == 4) {
        cells.push_back({true, context, kChunkRows / sequences, sequences});
      }
    }
  }
  return cells;
}

planner::Plan cpu_plan(const planner::ModelInput& model, const Options& options,
                       const planner::MachineProfile& machine) {
  planner::Workload workload;
  workload.max_seq_len = *std::ranges::max_element(options.contexts) + kChunkRows;
  workload.sequences = kSequences;
  workload.micro_batch = kChunkRows;
  return planner::make_bare_plan(model, {}, workload, machine, {std::nullopt});
}

/// A model in memory, and how its steps are timed.
class Subject {
 public:
  Subject(const std::string& path, const Options& options, const planner::MachineProfile& machine)
      : Subject(path, model::read_header(path), options, machine) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  [[nodiscard]] double predicted_s(const Cell& cell, const planner::MachineProfile& machine) const {
    const auto placement = planner::Placement::all_on(planner::Device::cpu, input_.layers.size());
    const planner::StepShape step{cell.rows, cell.context + cell.rows, cell.sequences};
    const auto time = planner::step_time(input_, planner::KvType::f16, machine, placement, step).serial_ps();
    return static_cast<double>(time) / 1e12;
  }

  /// Seconds of a step, the mean of as many as fit `sample_s`.
  double measure_s(const Cell& cell, double sample_s) {
    const auto rows = rows_of(cell);
    if (!cell.is_prefill) step(rows);  // another cell's weights and keys are in the caches
    const auto start = std::chrono::steady_clock::now();
    const auto elapsed_s = [start] {
      return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    };
    unsigned steps = 0;
    do {
      step(rows);
      ++steps;
    } while (elapsed_s() < sample_s);
    return elapsed_s() / steps;
  }

 private:
  Subject(const std::string& path, model::Header header, const Options& options,
          const planner::MachineProfile& machine)
      : name_(std::filesystem::path(path).stem().string()),
        hyper_(model::read_hyperparameters(header)),
        input_(planner::model_input(header, hyper_)),
        bound_(cpu_plan(input_, options, machine), std::move(header), hyper_),
        executor_(bound_, {.threads = options.threads}) {
    bound_.load([](std::uint64_t, std::uint64_t) {});
    executor_.start();
    const auto pages = bound_.plan().kv_pages.pages;
    const auto each = pages / kSequences;
    for (std::uint32_t s = 0; s < kSequences; ++s) {
      pages_.emplace_back(each);
      std::iota(pages_.back().begin(), pages_.back().end(), static_cast<std::uint32_t>(s * each));
    }
  }

  void step(const engine::Rows& rows) {
    executor_.begin(rows);
    executor_.finish();
  }

  engine::Rows rows_of(const Cell& cell) const {
    engine::Rows rows;
    for (std::uint32_t s = 0; s < cell.sequences; ++s) {
      const auto first = static_cast<std::uint32_t>(rows.tokens.size());
      for (std::uint32_t r = 0; r < cell.rows; ++r) {
        rows.tokens.push_back(static_cast<std::int32_t>((first + r) * 7919 % hyper_.vocab));
      }
      rows.sequences.push_back({.slot = s,
                                .first_row = first,
                                .rows = cell.rows,
                                .first_position = cell.context,
                                .pages = pages_[s].data()});
      rows.wanted.push_back(first + cell.rows - 1);
    }
    return rows;
  }

  std::string name_;
  model::Hyperparameters hyper_;
  planner::ModelInput input_;
  memory::BoundPlan bound_;
  engine::PlanExecutor executor_;
  std::vector<std::vector<std::uint32_t>> pages_;
};

/// One line of JSON for each cell.
void print(const Subject& subject, const Cell& cell, double predicted_s, double measured_s) {
  std::printf(
      "{\"model\": \"%s\", \"step\": \"%s\", \"context\": %llu, \"sequences\": %u, \"predicted_s\": %.9f, "
      "\"measured_s\": %.9f}\n",
      subject.name().c_str(), cell.is_prefill ? "prefill" : "decode",
      static_cast<unsigned long long>(cell.context), cell.sequences, predicted_s, measured_s);
}

planner::MachineProfile read_machine(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  return planner::parse_machine(text, path);
}

void run(const Options& options) {
  spdlog::set_level(spdlog::level::warn);
  const auto machine = read_machine(options.machine);
  for (const auto& path : options.models) {
    Subject subject(path, options, machine);
    for (const auto& cell : cells_of(options)) {
      print(subject, cell, subject.predicted_s(cell, machine), subject.measure_s(cell, options.sample_s));
    }
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times steps of models on the CPU and predicts them.");
  Options options;
  app.add_option("--machine", options.machine, "Profile, as tandem calibrate --output writes it")->required();
  app.add_option("--contexts", options.contexts, "Tokens before the step; repeatable");
  app.add_option("--threads", options.threads, "CPU threads; 0: one for each core");
  app.add_option("--sample", options.sample_s, "Seconds of a run, at least one step");
  app.add_option("MODEL", options.models, "GGUF files")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "accuracy: %s\n", error.what());
    return 1;
  }
}
