// Whole models on a device, or on it and the CPU: bytes planned and taken, decode and prefill, what the
// projections alone take, and how far the two devices work at the same time.  Markdown on stdout, everything
// as JSON in a file.

#include <cstdio>
#include <filesystem>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "backends/cpu/repacked.h"
#include "backends/cpu/team.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/multiply.h"
#include "bench/on_gpu/bench_device.h"
#include "bench/on_gpu/report.h"
#include "bench/on_gpu/timing.h"
#include "bench/on_gpu/traced_lane.h"
#include "daemon/engine/pipeline.h"
#include "daemon/engine/segment.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "planner/names.h"
#include "planner/size_text.h"

namespace {

using namespace tandem;
using namespace tandem::bench;

/// The best logits of a row that a sampler takes where nothing else is asked for.
constexpr std::uint32_t kTopK = 64;

struct Options {
  std::string model;
  std::string json;
  std::string machine = "default";
  std::string vram;                     ///< empty: all of the model is on the device
  std::optional<std::uint32_t> layers;  ///< the first so many on the device, the rest on the CPU
  std::uint32_t multiprocessors = 0;
  std::uint64_t context = 1024;
  std::uint32_t chunk_rows = 512;
  std::uint32_t sequences = 8;
  unsigned threads = 0;
  double sample_s = 0.4;
};

/// What plans call the device, also where an emulated one stands in for a GPU.
constexpr auto kDevice = planner::Device::cuda0;

/// All units, or those of the first layers, on the device.
planner::Placement placement_of(const Options& options, std::size_t layers) {
  auto placement = planner::Placement::all_on(kDevice, layers);
  if (!options.layers) return placement;
  for (std::size_t layer = *options.layers; layer < layers; ++layer) {
    placement.attention[layer] = placement.ffn[layer] = planner::Device::cpu;
  }
  placement.head = planner::Device::cpu;
  return placement;
}

/// The plan: within a budget, or by the options; on a device whose driver took `driver_bytes`, or as much as
/// the profile says if it does not tell.
planner::Plan plan_of(const planner::ModelInput& model, const Options& options, std::uint64_t driver_bytes) {
  planner::Workload workload;
  workload.max_seq_len = options.context + options.chunk_rows;
  workload.sequences = options.sequences;
  workload.micro_batch = std::max(options.chunk_rows, options.sequences);
  auto machine = planner::builtin_machine(options.machine);
  if (driver_bytes != 0) machine.driver_bytes = driver_bytes;
  planner::Budget budget;
  if (!options.vram.empty()) {
    budget.vram_bytes = planner::parse_size("--vram", options.vram);
    return planner::make_bare_plan(model, budget, workload, machine, {kDevice});
  }
  budget.vram_bytes = std::uint64_t{1} << 40;
  return planner::plan_for_placement(model, budget, workload, machine,
                                     placement_of(options, model.layers.size()));
}

/// The device as stages use it, and a stream of it beside them, which goes first.
struct Opened {
  cuda::DeviceProperties properties;
  cuda::MemoryInfo memory;  ///< before anything is allocated
  std::unique_ptr<device::Accelerator> accelerator;
  std::unique_ptr<cuda::Stream> stream;

  explicit Opened(std::uint32_t multiprocessors) {
    auto device = open_bench_device(multiprocessors);
    auto own = std::make_unique<cuda::Stream>(device);
    properties = device.properties();
    memory = device.memory();
    accelerator = cuda::make_accelerator(std::move(device));
    stream = std::move(own);
  }
};

/// How long steps take.
struct StepTimes {
  double step_s = 0;
  double device_s = 0;  ///< its lane at work, a step
  double cpu_s = 0;
  double overlap_s = 0;  ///< of both, a step
  std::vector<Interval> on_device;
  std::vector<Interval> on_cpu;
};

class Subject {
 public:
  explicit Subject(const Options& options) : Subject(options, model::read_header(options.model)) {}

  [[nodiscard]] const planner::Plan& plan() const { return bound_.plan(); }
  [[nodiscard]] cuda::DeviceProperties properties() const { return device_.properties; }
  [[nodiscard]] std::uint64_t driver_bytes() const { return device_.memory.driver_bytes; }
  [[nodiscard]] std::vector<memory::LedgerLine> ledger() const { return bound_.ledger(); }
  [[nodiscard]] double load_s() const { return load_s_; }
  [[nodiscard]] std::uint64_t taken_bytes() const { return taken_bytes_; }
  [[nodiscard]] bool splits() const { return pipeline_ != nullptr; }

  /// Steps of one row each of `sequences` sequences, in `at_once` micro-batches that follow each other.
  StepTimes decode(std::uint32_t sequences, std::size_t at_once) {
    std::vector<engine::Rows> batches;
    const auto each = sequences / static_cast<std::uint32_t>(at_once);
    for (std::size_t b = 0; b < at_once; ++b) {
      batches.push_back(rows_of(static_cast<std::uint32_t>(b) * each, each, options_.context, 1));
    }
    return measure(batches);
  }

  StepTimes prefill(std::uint64_t context) { return measure({rows_of(0, 1, context, options_.chunk_rows)}); }

  /// Seconds of all projections of one row that are on the device, the head's too.
  double projections_s() {
    std::vector<device::Matrix> matrices;
    for (const auto& stage : bound_.stages()) {
      if (stage.device == planner::Device::cpu) continue;
      for (const auto& unit : stage.units) {
        const auto& a = unit.attention;
        const auto& f = unit.ffn;
        if (unit.kind == device::UnitKind::ffn && unit.streamed) continue;
        for (const auto* matrix : {&a.q, &a.k, &a.v, &a.out, &f.gate, &f.up, &f.down}) {
          if (matrix->data != nullptr) matrices.push_back(*matrix);
        }
      }
    }
    const bool has_head = plan().head.device != planner::Device::cpu;
    if (has_head) matrices.push_back(bound_.head().out);
    if (matrices.empty()) return 0;
    const auto& work = bound_.on_accelerator();
    return seconds_each(*device_.stream, 1, options_.sample_s, [&] {
      for (const auto& matrix : matrices) {
        cuda::ProductInput input;
        input.x = work.scratch.gate;
        input.quantised = cuda::QuantisedRows::in_bytes(work.scratch.quantised, 1, matrix.in);
        input.rows = 1;
        cuda::multiply(*device_.stream, matrix, input,
                       matrix.out == hyper_.vocab ? work.logits.data() : work.scratch.up);
      }
    });
  }

 private:
  Subject(const Options& options, const model::Header& header)
      : options_(options),
        hyper_(model::read_hyperparameters(header)),
        device_(options.multiprocessors),
        bound_(fitting(plan_of(planner::model_input(header, hyper_), options, device_.memory.driver_bytes)),
               header, hyper_, device_.accelerator.get(), &cpu::best_repacker()),
        team_(options.threads),
        segments_(engine::segments_of(bound_.plan())),
        cpu_(engine::make_cpu_lane(bound_, segments_, team_, /*pin=*/true), origin_),
        device_lane_(engine::make_accelerator_lane(bound_, segments_), origin_) {
    const auto start = Clock::now();
    bound_.load([](std::uint64_t, std::uint64_t) {});
    load_s_ = seconds_since(start);
    const auto free_now = device_.accelerator->memory().free_bytes;
    taken_bytes_ = device_.memory.free_bytes - std::min(device_.memory.free_bytes, free_now);
    std::vector<engine::DeviceLane*> lanes;
    for (const auto& segment : segments_) {
      lanes.push_back(segment.device == planner::Device::cpu ? &cpu_ : &device_lane_);
    }
    only_ = lanes.front();
    if (lanes.size() > 1) pipeline_ = std::make_unique<engine::Pipeline>(lanes);
    if (!pipeline_) only_->start();
    const auto each = bound_.plan().kv_pages.pages / options.sequences;
    for (std::uint32_t s = 0; s < options.sequences; ++s) {
      pages_.emplace_back(each);
      std::iota(pages_.back().begin(), pages_.back().end(), static_cast<std::uint32_t>(s * each));
    }
  }

  static planner::Plan fitting(planner::Plan plan) {
    if (!plan.fits) throw Error("no plan fits the budget");
    if (!planner::gpu_of(plan)) throw Error("the plan has nothing for the device to do");
    return plan;
  }

  /// As the engine asks for them: of logits on the device, no more than a sampler takes.
  engine::Rows rows_of(std::uint32_t first, std::uint32_t sequences, std::uint64_t context,
                       std::uint32_t rows_each) const {
    const bool chooses_there = bound_.plan().head.device != planner::Device::cpu;
    engine::Rows rows;
    rows.choosable = hyper_.vocab;
    for (std::uint32_t s = 0; s < sequences; ++s) {
      const auto first_row = static_cast<std::uint32_t>(rows.tokens.size());
      for (std::uint32_t r = 0; r < rows_each; ++r) {
        rows.tokens.push_back(static_cast<std::int32_t>((first_row + r) * 7919 % hyper_.vocab));
      }
      rows.sequences.push_back({.slot = first + s,
                                .first_row = first_row,
                                .rows = rows_each,
                                .first_position = context,
                                .pages = pages_[first + s].data()});
      rows.wanted.push_back(first_row + rows_each - 1);
      rows.best.push_back(chooses_there ? kTopK : 0);
    }
    return rows;
  }

  /// All of `batches` over and over, as many on their way at once as there are.
  StepTimes measure(const std::vector<engine::Rows>& batches) {
    run_round(batches);
    cpu_.take();
    device_lane_.take();
    const auto start = Clock::now();
    std::size_t rounds = 0;
    if (pipeline_) {
      for (const auto& rows : batches) pipeline_->begin(rows, {0, segments_.size()});
      for (; rounds == 0 || seconds_since(start) < options_.sample_s; ++rounds) {
        for (const auto& rows : batches) {
          pipeline_->finish();
          pipeline_->begin(rows, {0, segments_.size()});
        }
      }
      for (std::size_t i = 0; i < batches.size(); ++i) pipeline_->finish();
      ++rounds;
    } else {
      for (; rounds == 0 || seconds_since(start) < options_.sample_s; ++rounds) run_round(batches);
    }
    const auto n = static_cast<double>(rounds);
    const auto elapsed_s = seconds_since(start);
    const auto on_cpu = cpu_.take();
    const auto on_device = device_lane_.take();
    return {elapsed_s / n,       total_s(on_device) / n,
            total_s(on_cpu) / n, bench::overlap_s(on_device, on_cpu) / n,
            on_device,           on_cpu};
  }

  void run_round(const std::vector<engine::Rows>& batches) {
    for (const auto& rows : batches) {
      if (!pipeline_) {
        only_->run(0, rows, 0);
        continue;
      }
      pipeline_->begin(rows, {0, segments_.size()});
      pipeline_->finish();
    }
  }

  const Options& options_;
  model::Hyperparameters hyper_;
  Opened device_;
  memory::BoundPlan bound_;
  cpu::Team team_;
  std::vector<engine::Segment> segments_;
  Clock::time_point origin_ = Clock::now();
  TracedLane cpu_;
  TracedLane device_lane_;
  engine::DeviceLane* only_ = nullptr;
  std::vector<std::vector<std::uint32_t>> pages_;
  std::unique_ptr<engine::Pipeline> pipeline_;
  double load_s_ = 0;
  std::uint64_t taken_bytes_ = 0;
};

/// Bytes that the plan takes of the device when it is bound: all lines but the driver's and those that nobody
/// allocates.
std::uint64_t planned_bytes(const std::vector<memory::LedgerLine>& ledger) {
  std::uint64_t bytes = 0;
  for (const auto& line : ledger) {
    const bool there = line.device != planner::Device::cpu && line.purpose != planner::Purpose::driver;
    if (there && line.allocated_bytes != 0) bytes += line.planned_bytes;
  }
  return bytes;
}

Json bytes_report(const Subject& subject) {
  Json lines = Json::array();
  bool balances = true;
  std::uint64_t graphs_bytes = 0;
  for (const auto& line : subject.ledger()) {
    if (line.purpose == planner::Purpose::graphs) graphs_bytes += line.used_bytes;
    lines.push_back({{"device", planner::to_string(line.device)},
                     {"purpose", planner::to_string(line.purpose)},
                     {"planned_bytes", line.planned_bytes},
                     {"allocated_bytes", line.allocated_bytes},
                     {"used_bytes", line.used_bytes}});
    if (line.allocated_bytes != 0) balances = balances && line.planned_bytes == line.allocated_bytes;
  }
  return {{"planned_vram_bytes", subject.plan().vram_bytes},
          {"driver_bytes", subject.driver_bytes()},
          {"planned_allocations_bytes", planned_bytes(subject.ledger())},
          {"free_memory_shrank_by_bytes", subject.taken_bytes()},
          {"graphs_bytes", graphs_bytes},
          {"ledger_balances", balances},
          {"ledger", lines}};
}

/// The first intervals, as pairs of milliseconds.
Json trace_of(const std::vector<Interval>& intervals) {
  constexpr std::size_t kMost = 16;
  Json trace = Json::array();
  for (const auto& interval : intervals) {
    if (trace.size() == kMost) break;
    trace.push_back({interval.begin_s * 1e3, interval.end_s * 1e3});
  }
  return trace;
}

Json to_json(const StepTimes& times, double tokens) {
  return {{"ms", times.step_s * 1e3},
          {"tok_per_s", tokens / times.step_s},
          {"device_ms", times.device_s * 1e3},
          {"cpu_ms", times.cpu_s * 1e3},
          {"overlap_ms", times.overlap_s * 1e3}};
}

/// One sequence against both devices in turn, two against the slower of them.
Json split_report(const StepTimes& one, const StepTimes& two) {
  const auto slower_s = std::max(one.device_s, one.cpu_s);
  const auto shorter_s = std::min(two.device_s, two.cpu_s);
  return {{"one_sequence_of_serial_bound", (one.device_s + one.cpu_s) / one.step_s},
          {"two_sequences_of_overlap_bound", 2 * slower_s / two.step_s},
          {"overlap_of_shorter", shorter_s > 0 ? two.overlap_s / shorter_s : 0}};
}

void print(const Json& report) {
  const auto number = [](const Json& value) { return value.get<double>(); };
  std::printf("| steps | ms | tok/s | device, ms | CPU, ms |\n|---|---|---|---|---|\n");
  for (const auto& [name, step] : report["steps"].items()) {
    std::printf("| %s | %.2f | %.1f | %.2f | %.2f |\n", name.c_str(), number(step["ms"]),
                number(step["tok_per_s"]), number(step["device_ms"]), number(step["cpu_ms"]));
  }
  std::printf(
      "\nProjections of one row alone: %.2f ms; all else of the device's step: %.2f ms. Loaded in %.1f s.\n",
      number(report["projections_ms"]), number(report["rest_of_device_step_ms"]), number(report["load_s"]));
  const auto& bytes = report["bytes"];
  std::printf(
      "Planned for allocations on the device: %s bytes; its free memory shrank by %s, graphs took %s of it; "
      "the driver took %s before; the ledger %s.\n",
      planner::grouped(bytes["planned_allocations_bytes"].get<std::uint64_t>()).c_str(),
      planner::grouped(bytes["free_memory_shrank_by_bytes"].get<std::uint64_t>()).c_str(),
      planner::grouped(bytes["graphs_bytes"].get<std::uint64_t>()).c_str(),
      planner::grouped(bytes["driver_bytes"].get<std::uint64_t>()).c_str(),
      bytes["ledger_balances"].get<bool>() ? "balances" : "DOES NOT BALANCE");
  if (report.contains("split")) {
    const auto& split = report["split"];
    std::printf(
        "One sequence reaches %.2f of the serial bound, two sequences %.2f of the overlap bound; both "
        "devices "
        "work at once for %.0f%% of the shorter one's time.\n",
        number(split["one_sequence_of_serial_bound"]), number(split["two_sequences_of_overlap_bound"]),
        100 * number(split["overlap_of_shorter"]));
  }
  std::printf("\n");
}

std::string where(const Options& options) {
  if (options.layers) return std::to_string(*options.layers) + " layers on the device";
  return options.vram.empty() ? "all on the device" : "within " + options.vram;
}

int run(const Options& options) {
  spdlog::set_level(spdlog::level::warn);
  Subject subject(options);
  const auto properties = subject.properties();
  std::printf("### %s, %s, %s, %u multiprocessors\n\n", std::filesystem::path(options.model).stem().c_str(),
              where(options).c_str(), properties.name.c_str(), properties.multiprocessors);
  const auto one = subject.decode(1, 1);
  Json steps;
  steps["decode, 1 sequence"] = to_json(one, 1);
  for (std::uint32_t n = 2; n <= options.sequences; n *= 2) {
    steps["decode, " + std::to_string(n) + " sequences together"] = to_json(subject.decode(n, 1), n);
  }
  Json report{{"model", options.model},
              {"vram", options.vram},
              {"context", options.context},
              {"chunk_rows", options.chunk_rows},
              {"device", bench::to_json(properties)},
              {"stages", subject.plan().stages.size()},
              {"load_s", subject.load_s()},
              {"bytes", bytes_report(subject)}};
  if (subject.splits() && options.sequences >= 2) {
    const auto two = subject.decode(2, engine::Pipeline::kDepth);
    steps["decode, 2 sequences one after the other"] = to_json(two, 2);
    report["split"] = split_report(one, two);
    report["trace_ms"] = {{"device", trace_of(two.on_device)}, {"cpu", trace_of(two.on_cpu)}};
  }
  const auto prefill = subject.prefill(options.context);
  steps["prefill, " + std::to_string(options.chunk_rows) + " rows"] = to_json(prefill, options.chunk_rows);
  report["steps"] = steps;
  const auto projections_s = subject.projections_s();
  report["projections_ms"] = projections_s * 1e3;
  report["rest_of_device_step_ms"] = (one.device_s - projections_s) * 1e3;
  print(report);
  write_report(options.json, report);
  const bool balances = report["bytes"]["ledger_balances"].get<bool>();
  if (!balances) std::fprintf(stderr, "bench_gpu_steps: the ledger does not balance\n");
  return balances ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Times steps of a model on a device, or on it and the CPU.");
  Options options;
  app.add_option("MODEL", options.model, "GGUF file")->required();
  app.add_option("--json", options.json, "file for all figures");
  app.add_option("--machine", options.machine, "profile to plan with");
  app.add_option("--vram", options.vram,
                 "what the plan may take of the device; without it all of the model is there");
  app.add_option("--layers", options.layers, "the first so many on the device, the rest on the CPU");
  app.add_option("--multiprocessors", options.multiprocessors, "use only so many of the GPU's; 0: all");
  app.add_option("--context", options.context, "tokens before each step");
  app.add_option("--rows", options.chunk_rows, "rows of prefill");
  app.add_option("--sequences", options.sequences, "the most that decode together")->check(CLI::Range(1, 64));
  app.add_option("--threads", options.threads, "CPU threads; 0: one for each core");
  app.add_option("--sample", options.sample_s, "seconds of a sample, at least one step");
  CLI11_PARSE(app, argc, argv);
  return run(options);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_gpu_steps: %s\n", error.what());
  return 1;
}
