#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/cpu/team.h"
#include "bench/on_gpu/bench_device.h"
#include "bench/on_gpu/timing.h"
#include "bench/on_gpu/traced_lane.h"
#include "daemon/engine/pipeline.h"
#include "daemon/engine/segment.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "planner/plan.h"

namespace tandem::bench {

struct SubjectOptions {
  std::string model;
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

/// How long steps take.
struct StepTimes {
  double step_s = 0;
  double device_s = 0;  ///< its lane at work, a step
  double cpu_s = 0;
  double overlap_s = 0;  ///< of both, a step
  std::vector<Interval> on_device;
  std::vector<Interval> on_cpu;
};

/// A step of a stage from telling the device of it to its end.
struct RecordingTimes {
  double recorded_s = 0;  ///< started as a whole
  double kernel_by_kernel_s = 0;
  std::uint64_t bytes = 0;  ///< of the record
};

/// Whether a prompt's logits are what they should be.
struct Answer {
  bool same_one_by_one = false;  ///< the bits of the same tokens one after another
  std::uint64_t unusable = 0;    ///< logits that are no finite number
};

/// A prompt's logits beside those of the CPU alone.
struct Difference {
  double of_spread = 0;  ///< root of the mean square, by the standard deviation of the CPU's
  bool same_best = false;
};

/// The device as stages use it, and a stream of it beside them, which goes first.
struct Opened {
  cuda::DeviceProperties properties;
  cuda::MemoryInfo memory;  ///< before anything is allocated
  std::unique_ptr<device::Accelerator> accelerator;
  std::unique_ptr<cuda::Stream> stream;

  explicit Opened(std::uint32_t multiprocessors);
};

/// A model on a device, or on it and the CPU.
class Subject {
 public:
  explicit Subject(const SubjectOptions& options);

  [[nodiscard]] const planner::Plan& plan() const { return bound_.plan(); }
  [[nodiscard]] const cuda::DeviceProperties& properties() const { return device_.properties; }
  [[nodiscard]] std::uint64_t driver_bytes() const { return device_.memory.driver_bytes; }
  [[nodiscard]] std::vector<memory::LedgerLine> ledger() const { return bound_.ledger(); }
  [[nodiscard]] memory::VramUse vram_use() const { return vram_use_; }
  [[nodiscard]] double load_s() const { return load_s_; }
  [[nodiscard]] std::uint64_t load_bytes() const { return load_bytes_; }
  [[nodiscard]] bool splits() const { return pipeline_ != nullptr; }
  /// Decode steps that are recorded, and how many were to be.
  [[nodiscard]] device::RecordedSteps recorded_steps() const { return device_.accelerator->recorded_steps(); }
  [[nodiscard]] std::size_t wanted_steps() const;

  /// Steps of one row each of `sequences` sequences, in `at_once` micro-batches that follow each other.
  StepTimes decode(std::uint32_t sequences, std::size_t at_once);
  StepTimes prefill(std::uint64_t context) { return measure({rows_of(0, 1, context, options_.chunk_rows)}); }

  /// One row through the device's largest stage, whatever room there is for records of it.
  RecordingTimes recording_times();

  /// Seconds of all projections of one row that are on the device, the head's too.
  double projections_s();

  /// A short prompt as a chunk, and in a second sequence, if there is one, token by token.
  Answer answer();
  /// The prompt of `answer`, which went before, by the CPU alone: loads the model once more.
  [[nodiscard]] Difference difference_from_cpu() const;

 private:
  Subject(const SubjectOptions& options, const model::Header& header);

  [[nodiscard]] engine::Rows rows_of(std::uint32_t first, std::uint32_t sequences, std::uint64_t context,
                                     std::uint32_t rows_each) const;
  [[nodiscard]] std::uint32_t prompt_tok() const;
  [[nodiscard]] engine::Rows prompt(std::uint32_t sequence, std::uint32_t first, std::uint32_t n) const;
  StepTimes measure(const std::vector<engine::Rows>& batches);
  void run_round(const std::vector<engine::Rows>& batches);

  SubjectOptions options_;
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
  std::uint64_t load_bytes_ = 0;
  memory::VramUse vram_use_;
  std::vector<float> answer_;
};

}  // namespace tandem::bench
