#pragma once

#include <cstdint>
#include <vector>

#include "backends/device.h"
#include "daemon/calibration/pace.h"
#include "daemon/calibration/stream_crossover.h"
#include "planner/machine.h"

namespace tandem::calibration {

/// What was measured of a device beside the CPU.  A number that there was no time for is 0.
struct AcceleratorSpeed {
  std::vector<planner::TypeRates> types;
  double attention_gb_per_s = 0;
  double attention_tops = 0;
  double launch_us = 0;    ///< a unit's kernels beyond their work
  double stage_us = 0;     ///< beginning a step and entering a stage
  double crossing_us = 0;  ///< a few bytes there, and the news that they arrived
  std::uint64_t taken_bytes =
      0;  ///< of the device, by the driver and other programs, before the first allocation
  double to_device_gb_per_s = 0;  ///< from pinned memory
  double from_device_gb_per_s = 0;
  std::vector<ChunkTime> streamed;  ///< there and back, with weights that pass from the host's memory
  double stream_rows = 0;           ///< where those are as fast as the CPU's; 0: unknown, or nowhere
};

/// What it is measured with.
struct AcceleratorWork {
  std::uint32_t width = 3840;  ///< of an FFN half
  std::uint32_t ffn_width = 15360;
  std::uint32_t halves = 4;       ///< that a step reads, together more than a device's cache holds
  std::uint32_t many_rows = 256;  ///< of a step that is bound by arithmetic
  std::uint32_t heads = 16;       ///< of attention, on half as many KV heads of 256
  std::uint32_t context = 8192;   ///< keys that attention sees
  std::uint64_t copy_bytes = 64 << 20;
  std::vector<std::uint32_t> stream_rows{8, 16, 32, 64, 128, 256, 512};  ///< of chunks, upwards
  std::vector<model::TensorType> types{model::TensorType::q4_0, model::TensorType::q6_k,
                                       model::TensorType::q4_k, model::TensorType::q8_0};
};

/// Little enough for an emulated device, whose every thread is a fibre.
AcceleratorWork little_work();

/// Measures through the interface that plans are executed with.  `accelerator` is new; the device memory that
/// this takes is freed with it.  What an emulated device says is of no use but to tests.  Throws
/// std::runtime_error if the device fails.
AcceleratorSpeed measure_accelerator(Pace& pace, device::Accelerator& accelerator,
                                     const AcceleratorWork& work);

}  // namespace tandem::calibration
