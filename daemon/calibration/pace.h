#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace tandem::calibration {

/// Called before something is measured: what, and how much of the time is used up, 0 to 1.  The time it takes
/// itself does not count.
using Progress = std::function<void(const std::string& what, double share)>;

/// How thorough a calibration is.
struct Effort {
  double limit_s = 0;    ///< nothing is begun after it
  unsigned rounds = 1;   ///< times that all common quantities are measured, one after another
  unsigned repeats = 1;  ///< samples of a quantity in a round
  double sample_s = 0;   ///< a sample repeats its work until it has taken as long

  bool operator==(const Effort&) const = default;
};

/// `tandem calibrate`: under a minute.
inline constexpr Effort kFullEffort{50, 5, 2, 0.03};
/// The daemon's first start: seconds.
inline constexpr Effort kShortEffort{6, 3, 1, 0.004};

/// Of at least one number; the mean of the middle two where their count is even.
inline double median(std::vector<double> numbers) {
  std::ranges::sort(numbers);
  const auto upper = numbers.size() / 2;
  return numbers.size() % 2 == 1 ? numbers[upper] : (numbers[upper - 1] + numbers[upper]) / 2;
}

/// Times work within the limits of an effort.  A quantity that comes up again in a later round is the median
/// of all its samples: a second in which the machine had something else to do is in a few samples of
/// everything and not in all samples of one thing.
class Pace {
 public:
  Pace(const Effort& effort, Progress progress) : effort_(effort), progress_(std::move(progress)) {}

  /// All time is left again, and no sample is known.
  void begin_anew() {
    start_ = Clock::now();
    paused_s_ = 0;
    samples_.clear();
  }

  /// False once the time is used up.  Says what comes next where it is not.  What is measured until the next
  /// call is named by `what` and its number since.
  bool begin(const std::string& what) {
    if (!has(0)) return false;
    begin_needed(what);
    return true;
  }

  /// The same for what is measured however late it is.
  void begin_needed(const std::string& what) {
    begun_ = what;
    number_ = 0;
    const auto start = Clock::now();
    progress_(what, std::min(elapsed_s() / effort_.limit_s, 1.0));
    paused_s_ += seconds_since(start);
  }

  /// Seconds that `work` takes: the median of the effort's samples, and of those of earlier rounds; a single
  /// sample more where time is used up.  The first run counts only if it is as long as a sample: what is
  /// shorter takes longer then.
  template <class Work>
  double median_s(Work&& work) {
    return median(samples_s(work));
  }

  /// The samples that `median_s` is the median of; of `least_runs` runs each, however long they take: of work
  /// that is short, a run as long as a sample is one that was held up.
  template <class Work>
  const std::vector<double>& samples_s(Work&& work, std::size_t least_runs = 1) {
    auto& samples = samples_[{begun_, number_++}];
    const auto before = samples.size();
    const auto first_s = sample_s(work, 0, 1);
    if (least_runs == 1 && first_s >= effort_.sample_s) samples.push_back(first_s);
    const auto repeats = has(0) ? effort_.repeats : 1;
    while (samples.size() < before + repeats) samples.push_back(sample_s(work, effort_.sample_s, least_runs));
    return samples;
  }

  /// Whether something that takes as long can still be done.
  [[nodiscard]] bool has(double seconds) const { return elapsed_s() + seconds < effort_.limit_s; }
  /// Progress not counted.
  [[nodiscard]] double elapsed_s() const { return seconds_since(start_) - paused_s_; }
  [[nodiscard]] const Effort& effort() const noexcept { return effort_; }

 private:
  using Clock = std::chrono::steady_clock;

  static double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
  }

  /// Median of as many runs as take `least_s`, at least `least_runs`: where the host takes a core away for
  /// longer than many short runs take together, their mean is the host's doing.
  template <class Work>
  static double sample_s(Work& work, double least_s, std::size_t least_runs) {
    std::vector<double> runs;
    const auto start = Clock::now();
    do {
      const auto begun = Clock::now();
      work();
      runs.push_back(seconds_since(begun));
    } while (seconds_since(start) < least_s || runs.size() < least_runs);
    return median(std::move(runs));
  }

  Effort effort_;
  Progress progress_;
  Clock::time_point start_ = Clock::now();
  double paused_s_ = 0;
  std::string begun_;
  unsigned number_ = 0;
  std::map<std::pair<std::string, unsigned>, std::vector<double>> samples_;
};

}  // namespace tandem::calibration
