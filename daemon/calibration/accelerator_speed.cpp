#include "daemon/calibration/accelerator_speed.h"

#include <algorithm>
#include <memory>
#include <string>

#include "backends/cpu/dequantise.h"
#include "daemon/calibration/cpu_units.h"
#include "daemon/calibration/synthetic_unit.h"
#include "daemon/calibration/weight_block.h"
#include "planner/activations.h"

namespace tandem::calibration {
namespace {

/// Rows that all stages have room for, as the device is told of their steps in the same place.
std::uint32_t largest_chunk(const AcceleratorWork& work) {
  std::uint32_t most = work.many_rows;
  for (const auto rows : work.stream_rows) most = std::max(most, rows);
  return most;
}

/// What a step needs beside its units: rows, page tables, tokens and indices (planner/activations.h).
std::uint64_t step_bytes(const AcceleratorWork& work) {
  constexpr std::uint64_t kRowBytes = 128, kSlackBytes = 4096;
  return largest_chunk(work) * kRowBytes + work.context / kPageTok * sizeof(std::uint32_t) + kSlackBytes;
}

class Bench {
 public:
  Bench(Pace& pace, device::Accelerator& accelerator, const AcceleratorWork& work)
      : pace_(pace), accelerator_(accelerator), work_(work), sane_(kSaneBytes) {
    accelerator.set_load_buffer(accelerator.allocate_pinned(kSaneBytes), kSaneBytes);
    accelerator.set_graph_limit(kGraphBytes);
    const auto bytes = step_bytes(work);
    accelerator.set_step_buffers({accelerator.allocate(bytes), accelerator.allocate_pinned(bytes), bytes,
                                  largest_chunk(work), largest_chunk(work)});
  }

  /// Memory of the device, full of sane numbers.
  UnitMemory memory() {
    return {
        [this](std::size_t bytes) { return sane_memory(bytes); },
        [this](std::byte* to, const void* from, std::size_t bytes) { accelerator_.upload(to, from, bytes); }};
  }

  /// Seconds from telling the device of a step until it is done.
  double step_s(const std::vector<device::Unit>& units, std::uint32_t width, const device::Scratch& scratch,
                std::uint32_t rows, std::uint64_t context) {
    const device::StageShape shape{width, 1e-6f, largest_chunk(work_)};
    const auto stage = accelerator_.make_stage(units.data(), units.size(), shape, scratch);
    const OneSequence sequence(rows, context);
    auto* const x = reinterpret_cast<float*>(sane_memory(std::size_t{rows} * width * sizeof(float)));
    const auto batch = sequence.batch();
    return pace_.median_s([&] {
      accelerator_.begin(batch);
      stage->step(batch, x);
      accelerator_.wait();
    });
  }

  /// Seconds of a chunk of `rows` rows through an FFN half whose weights stay on the host, from the rows' way
  /// to the device until they are back.
  double streamed_s(device::Stage& stage, std::uint32_t width, std::uint32_t rows) {
    const auto bytes = std::uint64_t{rows} * width * sizeof(float);
    auto* const x = reinterpret_cast<float*>(sane_memory(bytes));
    auto* const here = reinterpret_cast<float*>(accelerator_.allocate_pinned(bytes));
    std::fill_n(here, std::size_t{rows} * width, 1.0f);
    const OneSequence sequence(rows, rows);
    const auto batch = sequence.batch();
    return pace_.median_s([&] {
      accelerator_.begin(batch);
      accelerator_.send(x, here, bytes);
      stage.step(batch, x);
      accelerator_.receive(here, x, bytes);
    });
  }

  const AcceleratorWork& work() const noexcept { return work_; }
  device::Accelerator& accelerator() noexcept { return accelerator_; }
  Pace& pace() noexcept { return pace_; }

 private:
  static constexpr std::size_t kSaneBytes = std::size_t{1} << 20;
  static constexpr std::uint64_t kGraphBytes = std::uint64_t{64} << 20;  ///< more than these stages take

  std::byte* sane_memory(std::size_t bytes) {
    auto* const to = accelerator_.allocate(std::max<std::size_t>(bytes, 1));
    for (std::size_t at = 0; at < bytes; at += kSaneBytes) {
      accelerator_.upload(to + at, sane_.bytes().data(), std::min(kSaneBytes, bytes - at));
    }
    return to;
  }

  Pace& pace_;
  device::Accelerator& accelerator_;
  const AcceleratorWork& work_;
  WeightBlock sane_;
};

void measure_copies(Bench& bench, AcceleratorSpeed& speed) {
  auto& accelerator = bench.accelerator();
  const auto bytes = bench.work().copy_bytes;
  auto* const there = reinterpret_cast<float*>(accelerator.allocate(bytes));
  auto* const here = reinterpret_cast<float*>(accelerator.allocate_pinned(bytes));
  const auto send_s = [&](std::uint64_t n) {
    return bench.pace().median_s([&, n] {
      accelerator.send(there, here, n);
      accelerator.wait();
    });
  };
  const auto receive_s = [&](std::uint64_t n) {
    return bench.pace().median_s([&, n] { accelerator.receive(here, there, n); });
  };
  constexpr std::uint64_t kFewBytes = 64;
  const auto few_send_s = send_s(kFewBytes);
  const auto few_receive_s = receive_s(kFewBytes);
  const auto gb_per_s = [&](double whole_s, double few_s) {
    return static_cast<double>(bytes) / std::max(whole_s - few_s, 1e-9) / 1e9;
  };
  speed.crossing_us = (few_send_s + few_receive_s) / 2 * 1e6;
  speed.to_device_gb_per_s = gb_per_s(send_s(bytes), few_send_s);
  speed.from_device_gb_per_s = gb_per_s(receive_s(bytes), few_receive_s);
}

/// Steps through units that have next to nothing to do.
void measure_overhead(Bench& bench, AcceleratorSpeed& speed) {
  constexpr std::uint32_t kWidth = 256;
  constexpr std::size_t kUnits = 16;
  std::vector<device::Unit> units;
  for (std::size_t i = 0; i < kUnits; ++i) {
    units.push_back(ffn_unit(kWidth, kWidth, device::BlockType::q8_0, bench.memory()));
  }
  const auto scratch = scratch_for(units, kWidth, largest_chunk(bench.work()), bench.memory());
  const auto one_s = bench.step_s({units.front()}, kWidth, scratch, 1, 1);
  const auto all_s = bench.step_s(units, kWidth, scratch, 1, 1);
  speed.launch_us = std::max(0.0, (all_s - one_s) / (kUnits - 1)) * 1e6;
  speed.stage_us = std::max(0.0, one_s * 1e6 - speed.launch_us);
}

planner::TypeRates type_rates(Bench& bench, const AcceleratorSpeed& speed, model::TensorType type) {
  const auto& work = bench.work();
  const FfnShape shape{work.width, work.ffn_width};
  const auto block_type = static_cast<device::BlockType>(type);
  std::vector<device::Unit> units;
  for (std::uint32_t i = 0; i < work.halves; ++i) {
    units.push_back(ffn_unit(work.width, work.ffn_width, block_type, bench.memory()));
  }
  const auto scratch = scratch_for(units, work.width, largest_chunk(work), bench.memory());
  const auto seconds = [&](const std::vector<device::Unit>& some, std::uint32_t rows) {
    const auto overhead_us = speed.stage_us + speed.launch_us * static_cast<double>(some.size());
    return std::max(bench.step_s(some, work.width, scratch, rows, rows) - overhead_us / 1e6, 1e-9);
  };
  planner::TypeRates rates{type, {}, 0};
  const auto bytes = static_cast<double>(ffn_bytes(shape, block_type)) * work.halves;
  for (std::size_t i = 0; i < planner::kMeasuredRows.size(); ++i) {
    rates.read_gb_per_s[i] = bytes / seconds(units, planner::kMeasuredRows[i]) / 1e9;
  }
  const auto ops = 6.0 * work.many_rows * work.width * work.ffn_width;
  rates.tops = ops / seconds({units.front()}, work.many_rows) / 1e12;
  return rates;
}

/// One row is bound by the bytes of its keys, many rows by their operations (planner/cost.h).  The width is a
/// model's: a device may cut keys into as many parts as there is room for in a projection's result.
void measure_attention(Bench& bench, AcceleratorSpeed& speed) {
  constexpr std::uint32_t kHeadDim = 256;
  const auto& work = bench.work();
  const AttentionShape shape{work.width,  work.heads,   work.heads / 2,
                             kHeadDim,    kHeadDim / 2, device::KvLayout::separate,
                             work.context};
  const std::vector units{attention_unit(shape, bench.memory())};
  const auto scratch = scratch_for(units, work.width, largest_chunk(work), bench.memory());
  const auto seconds = [&](std::uint32_t rows) {
    const auto whole_s = bench.step_s(units, work.width, scratch, rows, work.context);
    return std::max(whole_s - bench.step_s(units, work.width, scratch, rows, rows), 1e-9);
  };
  const auto key_bytes = 2.0 * shape.kv_heads * kHeadDim * sizeof(std::uint16_t);
  speed.attention_gb_per_s = key_bytes * work.context / seconds(1) / 1e9;
  const double rows = work.many_rows;
  const auto pairs = rows * (work.context - rows);  // of a row and a key, those of the chunk itself taken off
  speed.attention_tops = 4.0 * work.heads * kHeadDim * pairs / seconds(work.many_rows) / 1e12;
}

/// Two buffers for a matrix and a norm each, and a pinned one on the way there.
device::StreamBuffers stream_buffers(device::Accelerator& accelerator, const FfnShape& shape,
                                     device::BlockType type) {
  constexpr std::uint64_t kLine = 64;
  const auto whole_lines = [](std::uint64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; };
  const std::uint64_t matrix_bytes = cpu::row_bytes(type, shape.width) * shape.ffn_width;
  device::StreamBuffers buffers;
  buffers.bytes = whole_lines(matrix_bytes) + whole_lines(shape.width * sizeof(float));
  for (auto& buffer : buffers.on_device) buffer = accelerator.allocate(buffers.bytes);
  buffers.pinned_bytes = planner::load_buffer_bytes(matrix_bytes);
  buffers.pinned = accelerator.allocate_pinned(buffers.pinned_bytes);
  return buffers;
}

void measure_streaming(Bench& bench, Pace& pace, AcceleratorSpeed& speed) {
  const auto& work = bench.work();
  const FfnShape shape{work.width, work.ffn_width};
  const auto type = static_cast<device::BlockType>(work.types.front());
  bench.accelerator().set_stream_buffers(stream_buffers(bench.accelerator(), shape, type));
  HostMemory host;
  std::vector units{ffn_unit(shape.width, shape.ffn_width, type, host.view())};
  units.front().streamed = true;
  const auto scratch = scratch_for(units, shape.width, largest_chunk(work), bench.memory());
  const auto stage = bench.accelerator().make_stage(units.data(), units.size(),
                                                    {shape.width, 1e-6f, largest_chunk(work)}, scratch);
  for (const auto rows : work.stream_rows) {
    if (!pace.begin("a chunk of " + std::to_string(rows) + " rows, its weights streamed")) break;
    speed.streamed.push_back({rows, bench.streamed_s(*stage, shape.width, rows)});
  }
}

}  // namespace

AcceleratorWork little_work() {
  AcceleratorWork work;
  work.width = 256;
  work.ffn_width = 512;
  work.halves = 2;
  work.many_rows = 16;
  work.heads = 2;
  work.context = 128;
  work.copy_bytes = 1 << 16;
  work.stream_rows = {4, 24};  // more than any other stage takes
  work.types = {model::TensorType::q4_0};
  return work;
}

AcceleratorSpeed measure_accelerator(Pace& pace, device::Accelerator& accelerator,
                                     const AcceleratorWork& work) {
  AcceleratorSpeed speed;
  const auto memory = accelerator.memory();
  speed.taken_bytes = memory.total_bytes - memory.free_bytes;
  Bench bench(pace, accelerator, work);
  if (pace.begin("copies to the GPU and back")) measure_copies(bench, speed);
  if (pace.begin("launches on the GPU")) measure_overhead(bench, speed);
  if (pace.begin("attention on the GPU")) measure_attention(bench, speed);
  for (const auto type : work.types) {
    const auto name = std::string(model::tensor_type_info(type).name);
    if (!pace.begin("products in " + name + " on the GPU")) break;
    speed.types.push_back(type_rates(bench, speed, type));
  }
  if (!work.stream_rows.empty() && pace.has(0)) measure_streaming(bench, pace, speed);
  return speed;
}

}  // namespace tandem::calibration
