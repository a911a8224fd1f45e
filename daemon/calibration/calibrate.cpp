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

}  // namespace

std::string calibrate(const Effort& effort, const hardware::Fingerprint& fingerprint,
                      const Progress& progress) {
  Pace pace(effort, progress);
  const auto cpu = measure_cpu(pace, fingerprint.threads);
  return profile_json(cpu, {fingerprint, utc_now(), pace.elapsed_s()});
}

}  // namespace tandem::calibration
