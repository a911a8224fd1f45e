#include "daemon/calibration/calibrate.h"

#include <array>
#include <ctime>

#include "daemon/calibration/cpu_speed.h"
#include "daemon/calibration/profile_json.h"

namespace tandem::calibration {
namespace {

/// Now, as in ISO 8601.
std::string utc_now() {
  const auto now = std::time(nullptr);
  std::tm utc{};
  gmtime_r(&now, &utc);
  std::array<char, 32> text{};
  const auto length = std::strftime(text.data(), text.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {text.data(), length};
}

AcceleratorSpeed speed_of(const GpuToMeasure& gpu, const Effort& effort, const Progress& progress) {
  if (!gpu.device) return {};
  constexpr double kPart = 0.4;  // of the time; the rest is the CPU's
  auto part = effort;
  part.limit_s *= kPart;
  part.repeats *= part.rounds;  // in one round: every round would take memory of the device anew
  Pace pace(part, [&](const std::string& what, double share) { progress(what, share * kPart); });
  return measure_accelerator(pace, *gpu.device, gpu.work);
}

}  // namespace

std::string calibrate(const Effort& effort, const hardware::Fingerprint& fingerprint,
                      const Progress& progress, const GpuToMeasure& gpu) {
  Pace pace(effort, progress);
  auto gpu_speed = speed_of(gpu, effort, progress);
  if (!gpu_speed.streamed.empty()) {
    const auto on_cpu = cpu_chunk_times(pace, fingerprint.threads, {gpu.work.width, gpu.work.ffn_width},
                                        gpu.work.types.front(), gpu.work.stream_rows);
    gpu_speed.stream_rows = crossover_rows(on_cpu, gpu_speed.streamed);
  }
  return usable_profile([&] {
    const auto cpu_speed = measure_cpu(pace, fingerprint.threads);
    auto profile = profile_json(cpu_speed, gpu_speed, {fingerprint, utc_now(), pace.elapsed_s()});
    pace.begin_anew();  // in case that is needed
    return profile;
  });
}

}  // namespace tandem::calibration
