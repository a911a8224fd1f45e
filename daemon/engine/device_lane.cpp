#include "daemon/engine/device_lane.h"

#include <algorithm>

#include <spdlog/spdlog.h>

#include "backends/cpu/stage.h"
#include "planner/activations.h"
#include "planner/size_text.h"

namespace tandem::engine {
namespace {

using planner::Device;

/// A segment with what computes its units.
struct BoundSegment {
  bool embeds = false;
  std::unique_ptr<device::Stage> stage;  ///< null where there are no units
  bool ends = false;
};

/// The segments of `device`; the places of those of others are empty.  `make_stage` is called for the units
/// of each, in their order.
template <class MakeStage>
std::vector<BoundSegment> bound_segments(const memory::BoundPlan& plan, const std::vector<Segment>& segments,
                                         bool on_cpu, const MakeStage& make_stage) {
  std::vector<BoundSegment> bound(segments.size());
  for (std::size_t i = 0; i < segments.size(); ++i) {
    const auto& segment = segments[i];
    const bool mine = (segment.device == Device::cpu) == on_cpu;
    bound[i].embeds = segment.embeds;
    bound[i].ends = segment.ends;
    if (segment.units.empty() || !mine) continue;
    std::vector<device::Unit> units;
    for (const auto unit : segment.units) units.push_back(plan.unit(unit, segment.device));
    bound[i].stage = make_stage(units);
  }
  return bound;
}

/// The head, if it is on the lane's device; else one without a matrix.  The same for the embedding.
device::Head head_on(const memory::BoundPlan& plan, bool cpu) {
  return (plan.plan().head.device == Device::cpu) == cpu ? plan.head() : device::Head{};
}
device::Embedding embedding_on(const memory::BoundPlan& plan, bool cpu) {
  return (plan.plan().embedding.device == Device::cpu) == cpu ? plan.embedding() : device::Embedding{};
}

class CpuLane final : public DeviceLane {
 public:
  CpuLane(const memory::BoundPlan& plan, const std::vector<Segment>& segments, cpu::Team& team, bool pin)
      : plan_(plan),
        team_(team),
        pin_(pin),
        segments_(bound_segments(plan, segments, /*on_cpu=*/true,
                                 [&](const std::vector<device::Unit>& units) {
                                   return cpu::make_stage(units, plan.shape(), plan.cpu().scratch, team);
                                 })),
        head_(cpu::make_head_stage(embedding_on(plan, true), head_on(plan, true), plan.shape(),
                                   plan.cpu().scratch, team)) {}

  void start() override {
    if (!pin_) return;
    const auto pinning = team_.pin();
    // Threads that wander cost speed and nothing else.
    spdlog::log(pinning.worked() ? spdlog::level::info : spdlog::level::warn, "cpu: {}", pinning.words());
  }

  void run(std::size_t segment, const Rows& rows, std::size_t crossing) override {
    const auto& mine = segments_[segment];
    const auto n = static_cast<std::uint32_t>(rows.tokens.size());
    const auto floats = std::size_t{n} * plan_.hyper().width;
    // A CPU that only embeds has no residual stream of its own: its rows are made where they leave.
    const bool passes = !mine.stage && !mine.ends;
    float* x = passes ? plan_.crossing().to_accelerator[crossing].data() : plan_.cpu().residual.data();
    if (mine.embeds) {
      head_->embed(rows.tokens.data(), n, x);
    } else {
      std::copy_n(plan_.crossing().to_cpu[crossing].data(), floats, x);
    }
    if (mine.stage) mine.stage->step(batch_of(rows), x);
    if (passes) return;
    if (!mine.ends) {
      std::copy_n(x, floats, plan_.crossing().to_accelerator[crossing].data());
    } else if (!rows.wanted.empty()) {
      head_->logits(x, rows.wanted.data(), static_cast<std::uint32_t>(rows.wanted.size()),
                    plan_.logits().data());
    }
  }

 private:
  const memory::BoundPlan& plan_;
  cpu::Team& team_;
  const bool pin_;
  std::vector<BoundSegment> segments_;
  std::unique_ptr<device::HeadStage> head_;
};

class AcceleratorLane final : public DeviceLane {
 public:
  AcceleratorLane(const memory::BoundPlan& plan, const std::vector<Segment>& segments)
      : plan_(plan), device_(*plan.accelerator()), segments_(bind_segments(segments)) {
    record_steps();
    head_ = device_.make_head_stage(embedding_on(plan, false), head_on(plan, false), plan.shape(),
                                    plan.on_accelerator().scratch);
  }

  void run(std::size_t segment, const Rows& rows, std::size_t crossing) override {
    try {
      compute(segment, rows, crossing);
    } catch (...) {
      settle();
      throw;
    }
  }

 private:
  void compute(std::size_t segment, const Rows& rows, std::size_t crossing) {
    const auto& mine = segments_[segment];
    const auto n = static_cast<std::uint32_t>(rows.tokens.size());
    const auto bytes = std::uint64_t{n} * plan_.hyper().width * sizeof(float);
    float* x = plan_.on_accelerator().residual.data();
    const auto batch = batch_of(rows);
    device_.begin(batch);
    if (mine.embeds) {
      head_->embed(rows.tokens.data(), n, x);
    } else {
      device_.send(x, plan_.crossing().to_accelerator[crossing].data(), bytes);
    }
    if (mine.stage) mine.stage->step(batch, x);
    if (mine.ends) return end(rows, x);
    device_.receive(plan_.crossing().to_cpu[crossing].data(), x, bytes);
  }

  /// Leaves nothing under way of a step that failed: its buffers are the next one's.
  void settle() noexcept {
    try {
      device_.wait();
    } catch (const std::exception& error) {
      spdlog::warn("after a step that failed: {}", error.what());
    }
  }

  std::vector<BoundSegment> bind_segments(const std::vector<Segment>& segments) {
    return bound_segments(plan_, segments, /*on_cpu=*/false, [&](const std::vector<device::Unit>& units) {
      return device_.make_stage(units.data(), units.size(), plan_.shape(), plan_.on_accelerator().scratch);
    });
  }

  /// So that no step that is served has to.  The way of streamed weights comes last, and nobody decodes on
  /// it.
  void record_steps() {
    const auto& plan = plan_.plan();
    device_.set_graph_limit(plan.arena_bytes(*planner::gpu_of(plan), planner::Purpose::graphs));
    const auto in_place = segments_of(plan).size();
    const auto decoding = plan.workload.sequences * (plan.workload.draft_rows + 1);
    std::uint64_t wanted = 0;
    for (std::size_t i = 0; i < segments_.size(); ++i) {
      if (!segments_[i].stage) continue;
      if (i < in_place) wanted += planner::recorded_steps(plan.workload);
      segments_[i].stage->record(plan_.on_accelerator().residual.data(), i < in_place ? decoding : 0,
                                 plan.workload.max_seq_len);
    }
    const auto recorded = device_.recorded_steps();
    if (recorded.count >= wanted) return;
    spdlog::warn(
        "GPU: {} of {} shapes of decode steps are recorded, others are started kernel by kernel, which is "
        "slower: "
        "the next one takes {} bytes of the driver's, planned for all are {}",
        recorded.count, wanted, planner::grouped(recorded.refused_bytes),
        planner::grouped(plan.arena_bytes(*planner::gpu_of(plan), planner::Purpose::graphs)));
  }

  /// Gets what is wanted of the logits, or waits: whatever the rows came from may be written again then.
  void end(const Rows& rows, const float* x) {
    if (rows.wanted.empty()) return device_.wait();
    const auto n = static_cast<std::uint32_t>(rows.wanted.size());
    head_->logits(x, rows.wanted.data(), n, plan_.on_accelerator().logits.data());
    if (rows.best.empty()) return receive_logits(0, n);
    for_runs(rows, [this](bool whole, std::uint32_t first, std::uint32_t end) {
      if (whole) receive_logits(first, end - first);
    });
    if (std::ranges::any_of(rows.best, [](std::uint32_t best) { return best > 0; })) receive_best(rows);
  }

  /// Calls `use(whole, first, end)` for wanted rows that follow each other and come whole, or do not.
  template <class Use>
  static void for_runs(const Rows& rows, const Use& use) {
    const auto n = static_cast<std::uint32_t>(rows.best.size());
    for (std::uint32_t first = 0, end = 0; first < n; first = end) {
      const bool whole = rows.best[first] == 0;
      while (end < n && (rows.best[end] == 0) == whole) ++end;
      use(whole, first, end);
    }
  }

  void receive_logits(std::uint32_t first, std::uint32_t n) {
    const auto at = std::size_t{first} * plan_.hyper().vocab;
    device_.receive(plan_.logits().data() + at, plan_.on_accelerator().logits.data() + at,
                    sizeof(float) * n * plan_.hyper().vocab);
  }

  /// Reduces the rows that do not come whole, and receives their candidates one after another.
  void receive_best(const Rows& rows) {
    send_edits(rows);
    const auto& there = plan_.choices_on_accelerator();
    device::LogitReduction reduction;
    reduction.stride = plan_.hyper().vocab;
    reduction.vocab = rows.choosable;
    reduction.edits = there.edits.data();
    reduction.candidates = there.candidates.data();
    reduction.unusable = there.unusable.data();
    for_runs(rows, [&](bool whole, std::uint32_t first, std::uint32_t end) {
      if (whole) return;
      const auto is_here = [first, end](const device::TokenEdit& e) { return first <= e.row && e.row < end; };
      reduction.logits = plan_.on_accelerator().logits.data() + std::size_t{first} * reduction.stride;
      reduction.rows = end - first;
      reduction.n_edits = static_cast<std::uint32_t>(std::ranges::count_if(rows.edits, is_here));
      device_.reduce(reduction);
      reduction.edits += reduction.n_edits;
      reduction.candidates += std::size_t{reduction.rows} * device::kMostCandidates;
      reduction.unusable += reduction.rows;
    });
    const auto* const begin = reinterpret_cast<const std::byte*>(there.unusable.data());
    const auto* const end = reinterpret_cast<const std::byte*>(reduction.candidates);
    device_.receive(reinterpret_cast<float*>(plan_.choices().unusable.data()),
                    reinterpret_cast<const float*>(there.unusable.data()),
                    static_cast<std::uint64_t>(end - begin));
  }

  /// Edits to the device, ascending by row, which counts from the first of its run.
  void send_edits(const Rows& rows) {
    if (rows.edits.empty()) return;
    const auto& pinned = plan_.choices().edits;
    std::ranges::copy(rows.edits, pinned.begin());
    for_runs(rows, [&](bool, std::uint32_t first, std::uint32_t end) {
      for (std::size_t i = 0; i < rows.edits.size(); ++i) {
        const auto row = rows.edits[i].row;
        if (first <= row && row < end) pinned[i].row = row - first;
      }
    });
    device_.send(reinterpret_cast<float*>(plan_.choices_on_accelerator().edits.data()),
                 reinterpret_cast<const float*>(pinned.data()),
                 rows.edits.size() * sizeof(device::TokenEdit));
  }

  const memory::BoundPlan& plan_;
  device::Accelerator& device_;
  std::vector<BoundSegment> segments_;
  std::unique_ptr<device::HeadStage> head_;
};

}  // namespace

std::unique_ptr<DeviceLane> make_cpu_lane(const memory::BoundPlan& plan, const std::vector<Segment>& segments,
                                          cpu::Team& team, bool pin) {
  return std::make_unique<CpuLane>(plan, segments, team, pin);
}

std::unique_ptr<DeviceLane> make_accelerator_lane(const memory::BoundPlan& plan,
                                                  const std::vector<Segment>& segments) {
  return std::make_unique<AcceleratorLane>(plan, segments);
}

}  // namespace tandem::engine
