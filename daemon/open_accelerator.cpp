#include "daemon/open_accelerator.h"

#include <string>

#include <spdlog/spdlog.h>

#include "backends/cuda/open_accelerator.h"
#include "planner/errors.h"
#include "planner/size_text.h"

namespace tandem::daemon {

namespace {

constexpr auto kHint = "--devices cpu needs no GPU";

/// What `auto` means here.
planner::Devices found_devices() {
  const auto survey = cuda::find_gpus();
  if (survey.gpus.empty()) {
    spdlog::info("devices: CPU only: {}", survey.none_because);
    return {std::nullopt};
  }
  const auto& gpu = survey.gpus.front();
  spdlog::info("devices: CPU and cuda0, {}: compute capability {}.{}, {} multiprocessors, {} bytes", gpu.name,
               gpu.compute_capability / 10, gpu.compute_capability % 10, gpu.multiprocessors,
               planner::grouped(gpu.total_bytes));
  return {planner::Device::cuda0};
}

}  // namespace

calibration::GpuToMeasure gpu_to_measure(const Config& config) {
  const bool wanted =
      config.devices == "auto" || planner::parse_devices(config.devices).gpu == planner::Device::cuda0;
  if (!wanted || cuda::find_gpus().gpus.empty()) return {};
  return {cuda::open_gpu(0), {}};
}

calibration::GpuToMeasure device_to_measure(const Config& config) {
  constexpr std::uint64_t kEmulatedBytes = std::uint64_t{64} << 20;
  const bool emulated =
      config.devices != "auto" && planner::parse_devices(config.devices).gpu == planner::Device::emulated0;
  if (emulated) return {cuda::open_emulated(kEmulatedBytes), calibration::little_work()};
  return gpu_to_measure(config);
}

planner::Devices usable_devices(const Config& config) {
  if (config.devices == "auto") return found_devices();
  const auto devices = planner::parse_devices(config.devices);
  if (devices.gpu != planner::Device::cuda0 || !cuda::find_gpus().gpus.empty()) return devices;
  throw BadConfig("devices: " + config.devices + ": there is no cuda0: " + cuda::find_gpus().none_because,
                  kHint);
}

std::unique_ptr<device::Accelerator> open_accelerator(const Config& config, const planner::Plan& plan) {
  const auto gpu = planner::gpu_of(plan);
  if (!gpu) return nullptr;
  if (*gpu == planner::Device::cuda0) {
    const auto survey = cuda::find_gpus();
    if (!survey.gpus.empty()) return cuda::open_gpu(0);
    throw planner::BadPlan("plan: there is no cuda0: " + survey.none_because, kHint);
  }
  const auto bytes = config.emulated_vram_bytes.value_or(plan.budget.vram_bytes);
  if (auto emulated = cuda::open_emulated(bytes)) return emulated;
  throw planner::BadPlan("plan: there is no emulated0: this program was built for GPUs", kHint);
}

}  // namespace tandem::daemon
