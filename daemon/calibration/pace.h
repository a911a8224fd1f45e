#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace tandem::calibration {

/// Called before something is measured: what, and how much of the time is used up, 0 to 1.
using Progress = std::function<void(const std::string& what, double share)>;

/// How thorough a calibration is.
struct Effort {
  double limit_s = 0;    ///< nothing is begun after it
  unsigned repeats = 0;  ///< samples of one quantity, of which the median counts
  double sample_s = 0;   ///< a sample repeats its work until it has taken as long

  bool operator==(const Effort&) const = default;
};

/// `tandem calibrate`: under a minute.
inline constexpr Effort kFullEffort{50, 5, 0.02};
/// The daemon's first start: seconds.
inline constexpr Effort kShortEffort{6, 3, 0.004};

/// Times work within the limits of an effort.
class Pace {
 public:
  Pace(const Effort& effort, Progress progress)
      : effort_(effort), progress_(std::move(progress)), start_(Clock::now()) {}

  /// False once the time is used up.  Says what comes next where it is not.
  bool begin(const std::string& what) {
    const auto share = elapsed_s() / effort_.limit_s;
    if (share >= 1) return false;
    progress_(what, share);
    return true;
  }

  /// Seconds that `work` takes: the median of the effort's samples, after one that is not counted; a single
  /// sample where time is used up.
  template <class Work>
  double median_s(Work&& work) const {
    work();
    std::vector<double> samples(elapsed_s() < effort_.limit_s ? effort_.repeats : 1);
    for (auto& sample : samples) {
      const auto start = Clock::now();
      unsigned runs = 0;
      do {
        work();
        ++runs;
      } while (seconds_since(start) < effort_.sample_s);
      sample = seconds_since(start) / runs;
    }
    const auto middle = samples.begin() + static_cast<std::ptrdiff_t>(samples.size() / 2);
    std::nth_element(samples.begin(), middle, samples.end());
    return *middle;
  }

  [[nodiscard]] double elapsed_s() const { return seconds_since(start_); }
  [[nodiscard]] const Effort& effort() const noexcept { return effort_; }

 private:
  using Clock = std::chrono::steady_clock;

  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  Effort effort_;
  Progress progress_;
  Clock::time_point start_;
};

}  // namespace tandem::calibration
