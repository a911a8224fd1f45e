// Speed of the CPU multiply kernels: GB/s of weights read, by block type, rows and threads, from a matrix far
// larger than the caches, and the share of the bound: the larger of the time to read the weights, measured
// just before and after each product on the same bytes, and the time of its dot products in registers, by the
// best instructions of the same kernel set (dot_rate.h).
// Weights are repacked where they can be (repacked.h), unless TANDEM_WEIGHTS says rows, planes or panels.
// TANDEM_KERNELS=sse41|avx2|avx-vnni|avx512-vnni|amx-int8 picks a kernel set; the best one is the default.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <sys/mman.h>
#include <thread>
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/cpu/dequantise.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/repacked.h"
#include "bench/dot_rate.h"
#include "bench/random_blocks.h"

namespace {

using tandem::cpu::KernelSet;
using tandem::device::BlockType;

constexpr std::uint32_t kIn = 3840;
constexpr std::uint32_t kOut = 81920;

/// Outputs that a thread takes at a time, as a stage's do.
constexpr std::uint32_t claimed_outputs(std::uint32_t rows) {
  return (rows > 16 ? 16 : 8) * tandem::cpu::kTileOutputs;
}

const KernelSet& chosen_set() {
  const char* name = std::getenv("TANDEM_KERNELS");
  for (const KernelSet* set : tandem::cpu::supported_kernel_sets()) {
    if (name != nullptr && std::strcmp(name, set->name) == 0) return *set;
  }
  return tandem::cpu::best_kernel_set();
}

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

/// Runs `work` on so many threads, the caller's among them.
template <class Work>
void on_threads(std::uint32_t threads, const Work& work) {
  std::vector<std::thread> helpers;
  for (std::uint32_t t = 1; t < threads; ++t) helpers.emplace_back(work);
  work();
  for (std::thread& helper : helpers) helper.join();
}

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

constexpr std::size_t kStreams = 16, kLine = 64;

/// Reads a line of each of sixteen streams.
[[gnu::target("avx512f")]] void read_lines_512(const std::byte* at, std::size_t stream) {
  for (std::size_t s = 0; s < kStreams; ++s) {
    asm volatile("vmovdqu64 (%0), %%zmm0" ::"r"(at + s * stream) : "xmm0");
  }
}
void read_lines(const std::byte* at, std::size_t stream) {
  for (std::size_t s = 0; s < kStreams; ++s) {
    for (std::size_t i = 0; i < kLine; i += 16) {
      asm volatile("movdqu (%0), %%xmm0" ::"r"(at + s * stream + i) : "xmm0");
    }
  }
}

/// What the memory gives, GB/s: bytes only read, in sixteen streams a thread; eight gave the same.
double read_bandwidth(std::span<const std::byte> data, std::uint32_t threads) {
  constexpr std::size_t kPiece = std::size_t{1} << 18, kStream = kPiece / kStreams;
  const bool wide = __builtin_cpu_supports("avx512f");
  std::atomic<std::size_t> next{0};
  const auto begin = std::chrono::steady_clock::now();
  on_threads(threads, [&] {
    for (std::size_t at = next.fetch_add(kPiece); at + kPiece <= data.size(); at = next.fetch_add(kPiece)) {
      for (std::size_t i = 0; i < kStream; i += kLine) {
        wide ? read_lines_512(&data[at + i], kStream) : read_lines(&data[at + i], kStream);
      }
    }
  });
  return static_cast<double>(data.size()) / seconds_since(begin) / 1e9;
}

/// What a benchmark reports; 0 where it means nothing.
struct Rates {
  double gb_per_s = 0;
  double gmac_per_s = 0;
  double memory_gb_per_s = 0;       ///< only read
  double registers_gmac_per_s = 0;  ///< of all threads
  double share = 0;                 ///< of what limits it
};

/// All of them, whatever the benchmark: a file of CSV has the same columns for all.
void report(benchmark::State& state, const Rates& rates) {
  state.counters["GB/s"] = rates.gb_per_s;
  state.counters["GMAC/s"] = rates.gmac_per_s;
  state.counters["memory_GB/s"] = rates.memory_gb_per_s;
  state.counters["registers_GMAC/s"] = rates.registers_gmac_per_s;
  state.counters["share"] = rates.share;
}

void read_memory(benchmark::State& state) {
  const WeightMemory data(std::size_t{400} << 20);
  std::ranges::fill(data.bytes(), std::byte{1});
  double sum = 0;
  for (auto _ : state) sum += read_bandwidth(data.bytes(), static_cast<std::uint32_t>(state.range(0)));
  report(state, {.gb_per_s = sum / static_cast<double>(state.iterations())});
}

void dot_in_registers(benchmark::State& state) {
  double sum = 0;
  for (auto _ : state) sum += tandem::bench::dot_rate(chosen_set().name);
  report(state, {.gmac_per_s = sum / static_cast<double>(state.iterations())});
}

void multiply(benchmark::State& state, BlockType type) {
  const auto rows = static_cast<std::uint32_t>(state.range(0));
  const auto threads = static_cast<std::uint32_t>(state.range(1));
  const KernelSet& kernels = chosen_set();
  const BenchWeights bench(type);
  const std::span<const std::byte> weights = bench.memory.bytes();
  const tandem::device::Matrix& w = bench.matrix;
  const std::vector<float> x(std::size_t{rows} * kIn, 0.5f);
  const tandem::cpu::QuantisedLayout layout{kIn};
  const std::size_t stride = layout.row_bytes();
  std::vector<std::byte> quantised(rows * stride);
  for (std::size_t r = 0; r < rows; ++r)
    kernels.quantise(&x[r * kIn], layout, 0, kIn, &quantised[r * stride]);
  const bool floats = tandem::cpu::takes_floats(type);
  const tandem::cpu::Activations activations{
      floats ? reinterpret_cast<const std::byte*>(x.data()) : quantised.data(),
      floats ? kIn * sizeof(float) : stride, rows};
  std::vector<float> y(std::size_t{rows} * kOut);
  const auto kernel = kernels.multiply[static_cast<std::size_t>(type)];
  double bandwidth = read_bandwidth(weights, threads) / 2, seconds = 0;
  for (auto _ : state) {
    const auto begin = std::chrono::steady_clock::now();
    std::atomic<std::uint32_t> next{0};
    on_threads(threads, [&] {
      const std::uint32_t claim = claimed_outputs(rows);
      for (std::uint32_t first = next.fetch_add(claim); first < kOut; first = next.fetch_add(claim)) {
        kernel(w, first, claim, activations, y.data(), kOut);
      }
    });
    benchmark::DoNotOptimize(y.data());
    seconds += seconds_since(begin);
  }
  bandwidth += read_bandwidth(weights, threads) / 2;
  const auto products = static_cast<double>(state.iterations());
  const double gigabytes = products * static_cast<double>(weights.size()) / 1e9;
  const double gmacs = products * rows * (double{kIn} * kOut / 1e9);
  Rates rates{gigabytes / seconds, gmacs / seconds, bandwidth};
  rates.registers_gmac_per_s = floats ? 0 : tandem::bench::dot_rate(kernels.name) * threads;
  if (!floats || rows <= 8) rates.share = rates.gb_per_s / bandwidth;
  if (rates.registers_gmac_per_s > 0) {
    rates.share = std::max(rates.share, rates.gmac_per_s / rates.registers_gmac_per_s);
  }
  report(state, rates);
}

void rows_and_threads(benchmark::internal::Benchmark* bench) {
  bench->ArgNames({"rows", "threads"})->UseRealTime()->Unit(benchmark::kMillisecond);
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
