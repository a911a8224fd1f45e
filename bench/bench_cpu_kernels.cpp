// Speed of products as a CPU stage makes them: GB/s of weights read, by block type, rows and threads, from a
// matrix far larger than the caches, and the share of the bound: the larger of the time to read the weights,
// measured just before and after each product on the same bytes, and the time of its dot products in
// registers, by the best instructions of the same kernel set (dot_rate.h).  All times are the threads' own
// processor time, all figures medians.
// Weights are repacked where they can be (repacked.h), unless TANDEM_WEIGHTS says rows, planes or panels.
// TANDEM_KERNELS names a kernel set (kernel_set.h); the best one is the default.

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <new>
#include <numeric>
#include <span>
#include <string>
#include <sys/mman.h>
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/operations.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/repacked.h"
#include "backends/cpu/team.h"
#include "bench/dot_rate.h"
#include "bench/random_blocks.h"
#include "daemon/calibration/memory_speed.h"

namespace {

using tandem::calibration::Reading;
using tandem::cpu::KernelSet;
using tandem::cpu::Team;
using tandem::device::BlockType;

constexpr std::uint32_t kIn = 3840;
constexpr std::uint32_t kOut = 81920;

/// Memory in huge pages where the system has them, as the daemon's weights are.
class WeightMemory {
 public:
  explicit WeightMemory(std::size_t bytes) : bytes_(bytes) {
    void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) throw std::bad_alloc();
    madvise(base, bytes, MADV_HUGEPAGE);
    base_ = static_cast<std::byte*>(base);
  }
  WeightMemory(const WeightMemory&) = delete;
  WeightMemory& operator=(const WeightMemory&) = delete;
  ~WeightMemory() { munmap(base_, bytes_); }

  [[nodiscard]] std::span<std::byte> bytes() const { return {base_, bytes_}; }

 private:
  std::byte* base_;
  std::size_t bytes_;
};

/// Random weights of `type`, in the layout that TANDEM_WEIGHTS asks for.
struct BenchWeights {
  WeightMemory memory;
  tandem::device::Matrix matrix;

  explicit BenchWeights(BlockType type)
      : memory(tandem::cpu::row_bytes(type, kIn) * kOut), matrix{memory.bytes().data(), type, kIn, kOut} {
    const char* layout = std::getenv("TANDEM_WEIGHTS");
    const auto asks_for = [layout](const char* name) {
      return layout != nullptr && std::strcmp(layout, name) == 0;
    };
    const auto& repacker = asks_for("planes")   ? tandem::cpu::plane_repacker()
                           : asks_for("panels") ? tandem::cpu::panel_repacker()
                                                : tandem::cpu::best_repacker();
    const auto fill = [type](std::span<std::byte> rows) {
      tandem::bench::fill_random_blocks(static_cast<tandem::model::TensorType>(type), 0.02f, 1, rows);
    };
    if (asks_for("rows") || !repacker.repacks(type, kIn, kOut)) {
      fill(memory.bytes());
      return;
    }
    std::vector<std::byte> rows(memory.bytes().size());
    fill(rows);
    repacker.repack_rows(memory.bytes().data(), {rows.data(), type, kIn, kOut}, 0, kOut);
    matrix.layout = repacker.layout();
  }
};

double processor_seconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

/// Seconds of processor time that each of the team's threads takes, their mean, for work(member): what the
/// host gives to others meanwhile does not count.
template <class Work>
double team_seconds(Team& team, const Work& work) {
  std::vector<double> seconds(team.threads());
  team.run([&](Team::Member& member) {
    const double begin = processor_seconds();
    work(member);
    seconds[member.index()] = processor_seconds() - begin;
  });
  return std::reduce(seconds.begin(), seconds.end()) / team.threads();
}

/// What the memory gives, GB/s: bytes only read.
double read_rate(std::span<const std::byte> data, Team& team, Reading reading) {
  const double seconds =
      team_seconds(team, [&](Team::Member& member) { tandem::calibration::read_all(member, reading, data); });
  return static_cast<double>(data.size()) / seconds / 1e9;
}

double median(std::vector<double> values) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// The fastest one here.
Reading best_reading(std::span<const std::byte> data, Team& team) {
  constexpr int kRounds = 5;
  const auto all = tandem::calibration::readings();
  std::vector<std::vector<double>> rates(all.size());
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) rates[i].push_back(read_rate(data, team, all[i]));
  }
  const auto best = std::ranges::max_element(rates, {}, median);
  return all[static_cast<std::size_t>(best - rates.begin())];
}

/// What a benchmark reports; 0 where it means nothing.
struct Rates {
  double gb_per_s = 0;
  double gmac_per_s = 0;
  double memory_gb_per_s = 0;       ///< only read
  double registers_gmac_per_s = 0;  ///< of all threads
  double share = 0;                 ///< of what limits it
  double counted = 0;               ///< products that the share is a median of
};

/// All of them, whatever the benchmark: a file of CSV has the same columns for all.
void report(benchmark::State& state, const Rates& rates) {
  state.counters["GB/s"] = rates.gb_per_s;
  state.counters["GMAC/s"] = rates.gmac_per_s;
  state.counters["memory_GB/s"] = rates.memory_gb_per_s;
  state.counters["registers_GMAC/s"] = rates.registers_gmac_per_s;
  state.counters["share"] = rates.share;
  state.counters["counted"] = rates.counted;
}

void read_memory(benchmark::State& state) {
  const WeightMemory data(std::size_t{400} << 20);
  std::ranges::fill(data.bytes(), std::byte{1});
  Team team(static_cast<unsigned>(state.range(0)));
  team.pin();
  const Reading reading = best_reading(data.bytes(), team);
  std::vector<double> rates;
  for (auto _ : state) rates.push_back(read_rate(data.bytes(), team, reading));
  report(state, {.gb_per_s = median(rates)});
}

void dot_in_registers(benchmark::State& state) {
  std::vector<double> rates;
  for (auto _ : state) rates.push_back(tandem::bench::dot_rate(tandem::cpu::best_kernel_set().name));
  report(state, {.gmac_per_s = median(rates)});
}

/// Quantised and float activations of as many rows.
class BenchActivations {
 public:
  BenchActivations(const KernelSet& kernels, std::uint32_t rows)
      : rows_(rows), x_(std::size_t{rows} * kIn, 0.5f), quantised_(rows * kLayout.row_bytes()) {
    for (std::size_t r = 0; r < rows; ++r)
      kernels.quantise(&x_[r * kIn], kLayout, 0, kIn, &quantised_[r * kLayout.row_bytes()]);
  }

  [[nodiscard]] tandem::cpu::ProductInput input() const { return {x_.data(), quantised_.data(), kIn, rows_}; }

 private:
  static constexpr tandem::cpu::QuantisedLayout kLayout{kIn};
  std::uint32_t rows_;
  std::vector<float> x_;
  std::vector<std::byte> quantised_;
};

/// Products beside what bounds them: the memory is read before and after each, the loop runs after each.
class Samples {
 public:
  void add(double memory_gb_per_s, double product_s, double registers_gmac_per_s) {
    memory_.push_back(memory_gb_per_s);
    seconds_.push_back(product_s);
    registers_.push_back(registers_gmac_per_s);
  }

  /// The memory after the last product.
  void end(double memory_gb_per_s) { memory_.push_back(memory_gb_per_s); }

  /// Medians, for products of so many bytes of weights and multiplications.  A product counts towards the
  /// share if the memory was as fast after it as before, but for 15 %; where it never was, none does.
  [[nodiscard]] Rates rates(double gigabytes, double gmacs) const {
    std::vector<double> shares;
    for (std::size_t i = 0; i < seconds_.size(); ++i) {
      const auto [slow, fast] = std::minmax(memory_[i], memory_[i + 1]);
      if (fast > 1.15 * slow) continue;
      const double memory_s = gigabytes / ((slow + fast) / 2);
      const double registers_s = registers_[i] > 0 ? gmacs / registers_[i] : 0;
      shares.push_back(std::max(memory_s, registers_s) / seconds_[i]);
    }
    const double product_s = median(seconds_);
    return {gigabytes / product_s, gmacs / product_s, median(memory_),
            median(registers_),    median(shares),    static_cast<double>(shares.size())};
  }

 private:
  std::vector<double> memory_, seconds_, registers_;
};

void multiply(benchmark::State& state, BlockType type) {
  const auto rows = static_cast<std::uint32_t>(state.range(0));
  Team team(static_cast<unsigned>(state.range(1)));
  team.pin();
  const KernelSet& kernels = tandem::cpu::best_kernel_set();
  const BenchWeights bench(type);
  const std::span<const std::byte> weights = bench.memory.bytes();
  const BenchActivations activations(kernels, rows);
  std::vector<float> y(std::size_t{rows} * kOut);
  const tandem::cpu::Product product{&bench.matrix, y.data()};
  const Reading reading = best_reading(weights, team);
  Samples samples;
  for (auto _ : state) {
    const double memory = read_rate(weights, team, reading);
    const double seconds = team_seconds(team, [&](Team::Member& member) {
      tandem::cpu::multiply_all(member, kernels, activations.input(), {&product, 1});
    });
    benchmark::DoNotOptimize(y.data());
    const bool floats = tandem::cpu::takes_floats(type);
    samples.add(memory, seconds, floats ? 0 : tandem::bench::dot_rate(kernels.name) * team.threads());
    state.SetIterationTime(seconds);
  }
  samples.end(read_rate(weights, team, reading));
  report(state, samples.rates(static_cast<double>(weights.size()) / 1e9, rows * (double{kIn} * kOut / 1e9)));
}

void rows_and_threads(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"rows", "threads"})->UseManualTime()->Unit(benchmark::kMillisecond);
  for (const int threads : {1, 4}) {
    for (const int rows : {1, 2, 4, 8, 512}) bench->Args({rows, threads});
  }
}

}  // namespace

BENCHMARK(read_memory)->ArgName("threads")->Arg(1)->Arg(4)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK(dot_in_registers)->UseRealTime()->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(multiply, F32, BlockType::f32)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, F16, BlockType::f16)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, BF16, BlockType::bf16)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q4_0, BlockType::q4_0)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q4_1, BlockType::q4_1)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q5_0, BlockType::q5_0)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q5_1, BlockType::q5_1)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q8_0, BlockType::q8_0)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q2_K, BlockType::q2_k)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q3_K, BlockType::q3_k)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q4_K, BlockType::q4_k)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q5_K, BlockType::q5_k)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, Q6_K, BlockType::q6_k)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, IQ4_NL, BlockType::iq4_nl)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, IQ4_XS, BlockType::iq4_xs)->Apply(rows_and_threads);
BENCHMARK_CAPTURE(multiply, MXFP4, BlockType::mxfp4)->Apply(rows_and_threads);

BENCHMARK_MAIN();
