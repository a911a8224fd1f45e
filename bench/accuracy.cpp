// Predicted beside measured: steps of a model on the CPU, timed one by one, and what the planner's cost model
// says of them.  Both at once: a calibration, the daemon's own, goes several times through all it measures,
// and before each quantity some steps are timed.  A second in which the machine had something else to do is
// in a few samples of everything.  A step's time is the median of its samples, as a rate is that of the
// calibration's.
//
// Contexts are filled with zeros: what a key holds does not change how long it takes.  accuracy.py runs this
// several times and sums it up.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "backends/cpu/repacked.h"
#include "daemon/calibration/calibrate.h"
#include "daemon/engine/plan_executor.h"
#include "hardware/fingerprint.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "planner/cost.h"
#include "planner/make_plan.h"

namespace {

using namespace tandem;

constexpr std::uint32_t kChunkRows = 128;  // a shorter chunk than the daemon's, for the time it takes
constexpr std::uint32_t kSequences = 8;

struct Options {
  std::string model;
  std::vector<std::uint64_t> contexts{0, 1024, 8192, 32768};
  unsigned threads = 0;
  double calibration_s = 12;
  double sample_s = 0.01;
  unsigned prefill_samples = 2;
  unsigned decode_samples = 6;
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

planner::Plan cpu_plan(const planner::ModelInput& model, const Options& options) {
  planner::Workload workload;
  workload.max_seq_len = *std::ranges::max_element(options.contexts) + kChunkRows;
  workload.sequences = kSequences;
  workload.micro_batch = kChunkRows;
  return planner::make_bare_plan(model, {}, workload, planner::builtin_machine("default"), {std::nullopt});
}

/// A model in memory, and how its steps are timed.
class Subject {
 public:
  explicit Subject(const Options& options) : Subject(model::read_header(options.model), options) {}

  [[nodiscard]] const std::string& name() const noexcept { return name_; }

  [[nodiscard]] double predicted_s(const Cell& cell, const planner::MachineProfile& machine) const {
    const auto placement = planner::Placement::all_on(planner::Device::cpu, input_.layers.size());
    const planner::StepShape step{cell.rows, cell.context + cell.rows, cell.sequences};
    const auto time = planner::step_time(input_, planner::KvType::f16, machine, placement, step).serial_ps();
    return static_cast<double>(time) / 1e12;
  }

  /// Called once on the thread that `measure_s` is called on.
  void start() { executor_.start(); }

  /// Seconds of a step, the mean of as many as fit `sample_s`; of the first one only if no more do: before it
  /// the caches were another cell's.
  double measure_s(const Cell& cell, double sample_s) {
    const auto rows = rows_of(cell);
    const auto first_s = steps_s(rows, 0);
    return first_s < sample_s ? steps_s(rows, sample_s) : first_s;
  }

 private:
  Subject(model::Header header, const Options& options)
      : name_(std::filesystem::path(options.model).stem().string()),
        hyper_(model::read_hyperparameters(header)),
        input_(planner::model_input(header, hyper_)),
        bound_(cpu_plan(input_, options), std::move(header), hyper_, nullptr, &cpu::best_repacker()),
        executor_(bound_, {.threads = options.threads}) {
    bound_.load([](std::uint64_t, std::uint64_t) {});
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

  /// Mean of steps for `sample_s`, at least one.
  double steps_s(const engine::Rows& rows, double sample_s) {
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

/// Samples of all cells, spread evenly over a calibration.
class Samples {
 public:
  Samples(Subject& subject, const Options& options)
      : subject_(subject), options_(options), cells_(cells_of(options)), seconds_(cells_.size()) {
    const auto turns = std::max(options.prefill_samples, options.decode_samples);
    for (unsigned turn = 0; turn < turns; ++turn) {
      for (std::size_t i = 0; i < cells_.size(); ++i) {
        const auto samples = cells_[i].is_prefill ? options.prefill_samples : options.decode_samples;
        if (turn * samples / turns != (turn + 1) * samples / turns) order_.push_back(i);
      }
    }
  }

  /// Takes samples until `share` of all are taken.
  void advance(double share) {
    if (taken_ == 0) subject_.start();
    constexpr double kAllTaken = 0.95;  // of the time: nobody is called at the end
    const auto end =
        static_cast<std::size_t>(std::ceil(share / kAllTaken * static_cast<double>(order_.size())));
    for (; taken_ < std::min(end, order_.size()); ++taken_) {
      const auto i = order_[taken_];
      seconds_[i].push_back(subject_.measure_s(cells_[i], options_.sample_s));
    }
  }

  /// One line of JSON for each cell.
  void print(const planner::MachineProfile& machine) const {
    for (std::size_t i = 0; i < cells_.size(); ++i) {
      const auto& cell = cells_[i];
      std::printf(
          "{\"model\": \"%s\", \"step\": \"%s\", \"context\": %llu, \"sequences\": %u, "
          "\"predicted_s\": %.9f, \"measured_s\": %.9f}\n",
          subject_.name().c_str(), cell.is_prefill ? "prefill" : "decode",
          static_cast<unsigned long long>(cell.context), cell.sequences, subject_.predicted_s(cell, machine),
          calibration::median(seconds_[i]));
    }
  }

 private:
  Subject& subject_;
  const Options& options_;
  std::vector<Cell> cells_;
  std::vector<std::size_t> order_;  ///< of samples: their cells
  std::vector<std::vector<double>> seconds_;
  std::size_t taken_ = 0;
};

void run(const Options& options) {
  spdlog::set_level(spdlog::level::warn);
  Subject subject(options);
  Samples samples(subject, options);
  // Called before each quantity, on the thread that measures it.
  const auto between = [&](const std::string&, double share) { samples.advance(share); };
  // As many rounds as there is time for.
  const calibration::Effort effort{options.calibration_s, 100, 1, options.sample_s};
  const auto profile = calibration::calibrate(effort, hardware::this_machine(options.threads), between, {});
  samples.print(planner::parse_machine(profile, "calibration"));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Times steps of a model on the CPU and predicts them.");
  Options options;
  app.add_option("--contexts", options.contexts, "Tokens before the step; repeatable");
  app.add_option("--threads", options.threads, "CPU threads; 0: one for each core");
  app.add_option("--calibration", options.calibration_s, "Seconds of it, those of steps not counted");
  app.add_option("--prefill-samples", options.prefill_samples, "Of each cell");
  app.add_option("--decode-samples", options.decode_samples, "Of each cell");
  app.add_option("--sample", options.sample_s, "Seconds of a sample, at least one step");
  app.add_option("MODEL", options.model, "GGUF file")->required();
  CLI11_PARSE(app, argc, argv);
  try {
    run(options);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "accuracy: %s\n", error.what());
    return 1;
  }
}
