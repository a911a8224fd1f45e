#include "bench/on_gpu/subject.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <numeric>

#include "backends/cpu/repacked.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/multiply.h"
#include "model/error.h"
#include "planner/activations.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "planner/size_text.h"

namespace tandem::bench {
namespace {

/// The best logits of a row that a sampler takes where nothing else is asked for.
constexpr std::uint32_t kTopK = 64;

/// What plans call the device, also where an emulated one stands in for a GPU.
constexpr auto kDevice = planner::Device::cuda0;

/// More rows than the kernels of a decode take together.
constexpr std::uint32_t kPromptTok = 12;

/// All units, or those of the first layers, on the device.
planner::Placement placement_of(const SubjectOptions& options, std::size_t layers) {
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
planner::Plan plan_of(const planner::ModelInput& model, const SubjectOptions& options,
                      const planner::Workload& workload, std::uint64_t driver_bytes) {
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

planner::Workload workload_of(const SubjectOptions& options) {
  planner::Workload workload;
  workload.max_seq_len = options.context + options.chunk_rows;
  workload.sequences = options.sequences;
  workload.micro_batch = std::max(options.chunk_rows, options.sequences);
  return workload;
}

planner::Plan fitting(planner::Plan plan) {
  if (!plan.fits) throw Error("no plan fits the budget");
  if (!planner::gpu_of(plan)) throw Error("the plan has nothing for the device to do");
  return plan;
}

/// Each sequence's pages of global KV.
std::vector<std::vector<std::uint32_t>> shared_out(std::uint64_t pages, std::uint32_t sequences) {
  std::vector<std::vector<std::uint32_t>> each;
  for (std::uint32_t s = 0; s < sequences; ++s) {
    each.emplace_back(pages / sequences);
    std::iota(each.back().begin(), each.back().end(), static_cast<std::uint32_t>(s * (pages / sequences)));
  }
  return each;
}

}  // namespace

Opened::Opened(std::uint32_t multiprocessors) {
  auto device = open_bench_device(multiprocessors);
  auto own = std::make_unique<cuda::Stream>(device);
  properties = device.properties();
  memory = device.memory();
  accelerator = cuda::make_accelerator(std::move(device));
  stream = std::move(own);
}

Subject::Subject(const SubjectOptions& options) : Subject(options, model::read_header(options.model)) {}

Subject::Subject(const SubjectOptions& options, const model::Header& header)
    : options_(options),
      hyper_(model::read_hyperparameters(header)),
      device_(options.multiprocessors),
      bound_(fitting(plan_of(planner::model_input(header, hyper_), options, workload_of(options),
                             device_.memory.driver_bytes)),
             header, hyper_, device_.accelerator.get(), &cpu::best_repacker()),
      team_(options.threads),
      segments_(engine::segments_of(bound_.plan())),
      cpu_(engine::make_cpu_lane(bound_, segments_, team_, /*pin=*/true), origin_),
      device_lane_(engine::make_accelerator_lane(bound_, segments_), origin_),
      pages_(shared_out(bound_.plan().kv_pages.pages, options.sequences)) {
  const auto start = Clock::now();
  bound_.load([this](std::uint64_t, std::uint64_t total) { load_bytes_ = total; });
  load_s_ = seconds_since(start);
  vram_use_ = bound_.vram_use();
  std::vector<engine::DeviceLane*> lanes;
  for (const auto& segment : segments_) {
    lanes.push_back(segment.device == planner::Device::cpu ? &cpu_ : &device_lane_);
  }
  only_ = lanes.front();
  if (lanes.size() > 1) pipeline_ = std::make_unique<engine::Pipeline>(lanes);
  if (!pipeline_) only_->start();
}

std::size_t Subject::wanted_steps() const {
  const auto stages = std::ranges::count_if(segments_, [](const engine::Segment& segment) {
    return segment.device != planner::Device::cpu && !segment.units.empty();
  });
  return static_cast<std::size_t>(stages) * planner::recorded_steps(plan().workload);
}

StepTimes Subject::decode(std::uint32_t sequences, std::size_t at_once) {
  std::vector<engine::Rows> batches;
  const auto each = sequences / static_cast<std::uint32_t>(at_once);
  for (std::size_t b = 0; b < at_once; ++b) {
    batches.push_back(rows_of(static_cast<std::uint32_t>(b) * each, each, options_.context, 1));
  }
  return measure(batches);
}

RecordingTimes Subject::recording_times() {
  const auto units_here = [](const engine::Segment& segment) {
    return segment.device == planner::Device::cpu ? 0 : segment.units.size();
  };
  const auto& largest = std::ranges::max(segments_, {}, units_here);
  std::vector<device::Unit> units;
  for (const auto unit : largest.units) units.push_back(bound_.unit(unit, largest.device));
  auto& accelerator = *device_.accelerator;
  const auto& memory = bound_.on_accelerator();
  const auto stage = accelerator.make_stage(units.data(), units.size(), bound_.shape(), memory.scratch);
  const auto rows = rows_of(0, 1, options_.context, 1);
  const auto batch = engine::batch_of(rows);
  const auto step_s = [&](std::uint64_t graph_bytes) {
    accelerator.set_graph_limit(graph_bytes);
    return seconds_of(options_.sample_s, [&] {
      accelerator.begin(batch);
      stage->step(batch, memory.residual.data());
      accelerator.wait();
    });
  };
  RecordingTimes times;
  const auto before_bytes = accelerator.graph_bytes();
  times.kernel_by_kernel_s = step_s(0);
  times.recorded_s = step_s(before_bytes + (std::uint64_t{1} << 30));
  times.bytes = accelerator.graph_bytes() - before_bytes;
  accelerator.set_graph_limit(bound_.plan().arena_bytes(largest.device, planner::Purpose::graphs));
  return times;
}

double Subject::projections_s() {
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

Answer Subject::answer() {
  const auto tokens = prompt_tok();
  const auto keep = [this, tokens](std::uint32_t sequence, std::uint32_t step) {
    for (std::uint32_t at = 0; at < tokens; at += step) run_round({prompt(sequence, at, step)});
    const auto logits = bound_.logits().first(hyper_.vocab);
    return std::vector<float>(logits.begin(), logits.end());
  };
  answer_ = keep(0, tokens);
  Answer answer;
  answer.unusable = static_cast<std::uint64_t>(
      std::ranges::count_if(answer_, [](float logit) { return !std::isfinite(logit); }));
  answer.same_one_by_one = options_.sequences < 2 || keep(1, 1) == answer_;
  return answer;
}

Difference Subject::difference_from_cpu() const {
  const auto header = model::read_header(options_.model);
  planner::Budget budget;
  const auto model = planner::model_input(header, hyper_);
  const auto placement = planner::Placement::all_on(planner::Device::cpu, model.layers.size());
  memory::BoundPlan bound(planner::plan_for_placement(model, budget, workload_of(options_),
                                                      planner::builtin_machine(options_.machine), placement),
                          header, hyper_, nullptr, &cpu::best_repacker());
  bound.load([](std::uint64_t, std::uint64_t) {}, std::max(1U, std::thread::hardware_concurrency()));
  cpu::Team team(options_.threads);
  const auto lane = engine::make_cpu_lane(bound, engine::segments_of(bound.plan()), team, /*pin=*/false);
  const auto rows = prompt(0, 0, prompt_tok());
  lane->run(0, rows, 0);
  const auto expected = bound.logits().first(hyper_.vocab);
  const auto n = static_cast<double>(expected.size());
  const auto mean = std::accumulate(expected.begin(), expected.end(), 0.0) / n;
  double off = 0, spread = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    off += std::pow(static_cast<double>(answer_[i]) - expected[i], 2);
    spread += std::pow(expected[i] - mean, 2);
  }
  const auto best = [](const auto& logits) { return std::ranges::max_element(logits) - logits.begin(); };
  return {std::sqrt(off / spread), best(answer_) == best(expected)};
}

/// As the engine asks for them: of logits on the device, no more than a sampler takes.
engine::Rows Subject::rows_of(std::uint32_t first, std::uint32_t sequences, std::uint64_t context,
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

std::uint32_t Subject::prompt_tok() const {
  return std::min(kPromptTok, plan().workload.micro_batch);
}

/// Tokens [first, first + n) of a prompt; all logits of the last one are wanted.
engine::Rows Subject::prompt(std::uint32_t sequence, std::uint32_t first, std::uint32_t n) const {
  engine::Rows rows;
  rows.choosable = hyper_.vocab;
  for (std::uint32_t i = first; i < first + n; ++i) {
    rows.tokens.push_back(static_cast<std::int32_t>((i + 1) * 7919 % hyper_.vocab));
  }
  rows.sequences.push_back({.slot = sequence,
                            .first_row = 0,
                            .rows = n,
                            .first_position = first,
                            .pages = pages_[sequence].data()});
  rows.wanted = {n - 1};
  return rows;
}

/// All of `batches` over and over, as many on their way at once as there are.
StepTimes Subject::measure(const std::vector<engine::Rows>& batches) {
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
          total_s(on_cpu) / n, overlap_s(on_device, on_cpu) / n,
          on_device,           on_cpu};
}

void Subject::run_round(const std::vector<engine::Rows>& batches) {
  for (const auto& rows : batches) {
    if (!pipeline_) {
      only_->run(0, rows, 0);
      continue;
    }
    pipeline_->begin(rows, {0, segments_.size()});
    pipeline_->finish();
  }
}

}  // namespace tandem::bench
