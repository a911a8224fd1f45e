// GB/s of every projection kernel against what a kernel reaches that only reads, and of copies.  Markdown on
// stdout, everything as JSON in a file.

#include <array>
#include <cstdio>
#include <map>
#include <random>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "backends/cuda/multiply.h"
#include "bench/on_gpu/bench_device.h"
#include "bench/on_gpu/read_ceiling.h"
#include "bench/on_gpu/report.h"
#include "bench/on_gpu/timing.h"
#include "model/tensor_type.h"

namespace {

using namespace tandem;
using namespace tandem::bench;
using model::TensorType;

struct Options {
  std::string json;
  std::uint32_t multiprocessors = 0;
  double sample_s = 0.003;
  double limit_s = 90;
  bool tiny = false;
  bool describe = false;
};

/// A matrix of a model.
struct Shape {
  const char* name;
  std::uint32_t in;
  std::uint32_t out;
  bool head = false;  ///< only in the types that heads have: it is large
};

constexpr Shape kShapes[] = {
    {"12B q sliding", 3840, 4096}, {"12B k, v sliding", 3840, 2048}, {"12B out sliding", 4096, 3840},
    {"12B q global", 3840, 8192},  {"12B k global", 3840, 512},      {"12B out global", 8192, 3840},
    {"12B gate, up", 3840, 15360}, {"12B down", 15360, 3840},        {"27B q", 5376, 4096},
    {"27B k, v", 5376, 2048},      {"27B out", 4096, 5376},          {"27B gate, up", 5376, 21504},
    {"27B down", 21504, 5376},     {"12B head", 3840, 262144, true}, {"27B head", 5376, 262144, true},
};
constexpr Shape kTinyShapes[] = {{"tiny", 256, 16}, {"tiny head", 256, 32, true}};

constexpr TensorType kTypes[] = {TensorType::q4_0,  TensorType::q4_1, TensorType::q5_0,   TensorType::q5_1,
                                 TensorType::q8_0,  TensorType::q2_k, TensorType::q3_k,   TensorType::q4_k,
                                 TensorType::q5_k,  TensorType::q6_k, TensorType::iq4_nl, TensorType::iq4_xs,
                                 TensorType::mxfp4, TensorType::f16,  TensorType::bf16,   TensorType::f32};
constexpr TensorType kHeadTypes[] = {TensorType::q6_k, TensorType::f16, TensorType::q8_0, TensorType::q4_0};

constexpr std::uint32_t kMaxRows = 8;                    ///< of a decode
constexpr std::uint32_t kPromptRows = 512;               ///< of a chunk of a prompt
constexpr std::uint64_t kLargeMatrixBytes = 20'000'000;  ///< from which the goal counts
constexpr double kGoal = 0.8;

std::uint64_t bytes_of(const Shape& shape, TensorType type) {
  const auto& info = model::tensor_type_info(type);
  return std::uint64_t{shape.in} / info.block_elems * info.block_bytes * shape.out;
}

/// A device with memory full of random bytes, which every kernel takes for weights.
class Bench {
 public:
  Bench(const Options& options, std::uint64_t pool_bytes)
      : options_(options),
        device_(open_bench_device(options.multiprocessors)),
        stream_(device_),
        pool_(device_, pool_bytes),
        x_(device_, std::size_t{kPromptRows} * kMaxIn * sizeof(float)),
        quantised_(device_, std::size_t{kPromptRows} * kMaxIn / 32 * 40),
        y_(device_,
           std::max(std::size_t{kMaxRows + 1} * kMaxOut, std::size_t{kPromptRows} * kMaxIn) * sizeof(float)) {
    fill();
  }

  cuda::DeviceProperties properties() const { return device_.properties(); }
  /// Rows of a prompt; where these would take the time of all else, the fewest.
  std::uint32_t prompt_rows(const Shape& shape) const {
    return shape.head || options_.tiny || options_.multiprocessors != 0 ? kMaxRows + 1 : kPromptRows;
  }

  /// GB/s of reading the pool in pieces of `bytes`, with the best number of blocks.
  double ceiling_gb_per_s(std::uint64_t bytes) {
    double best = 0;
    const auto sums = reinterpret_cast<std::uint32_t*>(y_.data());
    for (const std::uint32_t each : {2U, 4U, 8U, 16U}) {
      const auto blocks = properties().multiprocessors * each;
      best = std::max(best, gb_per_s(bytes, options_.tiny ? 2 : 64, [&](const std::byte* at) {
                        read_all(stream_, at, bytes, blocks, sums);
                      }));
    }
    return best;
  }

  /// GB/s of the weights, each read once for all rows.
  double multiply_gb_per_s(const Shape& shape, TensorType type, std::uint32_t rows) {
    cuda::ProductInput input;
    input.x = reinterpret_cast<const float*>(x_.data());
    input.quantised = cuda::QuantisedRows::in_bytes(quantised_.data(), rows, shape.in);
    input.rows = rows;
    device::Matrix matrix{nullptr, static_cast<device::BlockType>(type), shape.in, shape.out};
    const std::uint64_t most = options_.tiny || rows == kPromptRows ? 2 : 64;
    return gb_per_s(bytes_of(shape, type), most, [&](const std::byte* at) {
      matrix.data = at;
      cuda::multiply(stream_, matrix, input, reinterpret_cast<float*>(y_.data()));
    });
  }

  /// GB/s of copies to the device, from it, and on it (bytes read).
  std::array<double, 3> copies_gb_per_s() {
    const auto bytes = std::min<std::uint64_t>(pool_.bytes() / 2, std::uint64_t{256} << 20);
    const cuda::PinnedMemory pinned(device_, bytes);
    const auto rate = [&](const auto& copy) {
      return static_cast<double>(bytes) / seconds_each(stream_, 1, 0.05, copy) / 1e9;
    };
    return {rate([&] { stream_.copy_to_device(pool_.data(), pinned.data(), bytes); }),
            rate([&] { stream_.copy_to_host(pinned.data(), pool_.data(), bytes); }),
            rate([&] { stream_.copy_on_device(pool_.data() + bytes, pool_.data(), bytes); })};
  }

  void refill() { fill(); }

 private:
  static constexpr std::uint32_t kMaxIn = 21504;
  static constexpr std::uint32_t kMaxOut = 262144;

  void fill() {
    constexpr std::size_t kPiece = std::size_t{1} << 20;
    const cuda::PinnedMemory pinned(device_, kPiece);
    std::mt19937_64 random(1);
    for (std::size_t i = 0; i < kPiece; i += 8) {
      const auto bits = random();
      std::memcpy(pinned.data() + i, &bits, 8);
    }
    for (std::size_t at = 0; at < pool_.bytes(); at += kPiece) {
      stream_.copy_to_device(pool_.data() + at, pinned.data(), std::min(kPiece, pool_.bytes() - at));
    }
    stream_.fill(x_.data(), 0x3c, x_.bytes());
    stream_.fill(quantised_.data(), 0x3c, quantised_.bytes());
    stream_.synchronise();
  }

  /// Work on `bytes` bytes at a time, from one place of the pool after another, so that the cache has none.
  template <class Work>
  double gb_per_s(std::uint64_t bytes, std::uint64_t most, const Work& work) {
    const auto places = std::max<std::uint64_t>(1, pool_.bytes() / bytes);
    const auto n = std::clamp<std::uint64_t>(places, 2, most);
    const auto step = bytes / 256 * 256 + 256;
    const auto seconds = seconds_each(stream_, n, options_.sample_s, [&] {
      for (std::uint64_t i = 0; i < n; ++i) {
        const auto at = i % places * step;
        work(pool_.data() + (at + bytes <= pool_.bytes() ? at : 0));
      }
    });
    return static_cast<double>(bytes) / seconds / 1e9;
  }

  const Options& options_;
  cuda::Device device_;
  cuda::Stream stream_;
  cuda::DeviceMemory pool_;
  cuda::DeviceMemory x_;
  cuda::DeviceMemory quantised_;
  cuda::DeviceMemory y_;
};

/// One kernel at one shape.
Json measure(Bench& bench, const Shape& shape, TensorType type, double ceiling) {
  Json rates = Json::array();
  for (std::uint32_t rows = 1; rows <= kMaxRows; ++rows) {
    rates.push_back(bench.multiply_gb_per_s(shape, type, rows));
  }
  const double one = rates[0];
  const auto prompt_rows = bench.prompt_rows(shape);
  const double products = 2.0 * prompt_rows * shape.in * shape.out;
  const double seconds =
      static_cast<double>(bytes_of(shape, type)) / 1e9 / bench.multiply_gb_per_s(shape, type, prompt_rows);
  return {{"type", model::tensor_type_info(type).name},
          {"matrix", shape.name},
          {"in", shape.in},
          {"out", shape.out},
          {"bytes", bytes_of(shape, type)},
          {"gb_per_s", rates},
          {"share_of_ceiling", one / ceiling},
          {"prompt_rows", prompt_rows},
          {"prompt_tops", products / seconds / 1e12}};
}

void print(const Json& kernel, double ceiling) {
  std::printf("| %s | %s | %.1f |", kernel["type"].get<std::string>().c_str(),
              kernel["matrix"].get<std::string>().c_str(), kernel["bytes"].get<double>() / 1e6);
  for (const std::size_t rows : {1, 2, 4, 8})
    std::printf(" %.0f |", kernel["gb_per_s"][rows - 1].get<double>());
  std::printf(" %.0f%% |", 100 * kernel["gb_per_s"][0].get<double>() / ceiling);
  std::printf(" %.1f (%u) |\n", kernel["prompt_tops"].get<double>(),
              kernel["prompt_rows"].get<std::uint32_t>());
}

/// The shapes with every type that they are measured in, the large ones of common types first.
std::vector<std::pair<Shape, TensorType>> cases_of(const Options& options) {
  std::vector<std::pair<Shape, TensorType>> cases;
  const auto add = [&](const auto& shapes) {
    for (const auto type : kTypes) {
      for (const auto& shape : shapes) {
        if (!shape.head) cases.emplace_back(shape, type);
      }
    }
    for (const auto type : kHeadTypes) {
      for (const auto& shape : shapes) {
        if (shape.head) cases.emplace_back(shape, type);
      }
    }
  };
  options.tiny ? add(kTinyShapes) : add(kShapes);
  return cases;
}

/// What the device is, having opened it.
void describe(const Options& options) {
  const auto device = open_bench_device(options.multiprocessors);
  const auto properties = device.properties();
  const auto memory = device.memory();
  std::printf(
      "%s, compute capability %u.%u, %u multiprocessors, %.1f MB of L2, %.2f GB, %.2f GB of them free; the "
      "driver took %.0f MB for this process\n",
      properties.name.c_str(), properties.compute_capability / 10, properties.compute_capability % 10,
      properties.multiprocessors, static_cast<double>(properties.cache_bytes) / 1e6,
      static_cast<double>(memory.total_bytes) / 1e9, static_cast<double>(memory.free_bytes) / 1e9,
      static_cast<double>(memory.driver_bytes) / 1e6);
  auto report = to_json(properties);
  report["free_bytes"] = memory.free_bytes;
  report["driver_bytes"] = memory.driver_bytes;
  write_report(options.json, report);
}

void run(const Options& options) {
  const auto start = Clock::now();
  const auto cases = cases_of(options);
  std::uint64_t pool_bytes = options.tiny ? std::uint64_t{256} << 10 : std::uint64_t{1} << 30;
  for (const auto& [shape, type] : cases) pool_bytes = std::max(pool_bytes, bytes_of(shape, type));
  Bench bench(options, pool_bytes);
  const auto properties = bench.properties();
  const auto ceiling =
      bench.ceiling_gb_per_s(options.tiny ? std::uint64_t{1} << 16 : std::uint64_t{512} << 20);
  const auto small_ceiling = bench.ceiling_gb_per_s(options.tiny ? 1 << 15 : 20 << 20);
  const auto copies = bench.copies_gb_per_s();
  bench.refill();
  std::printf("### Kernels on %s, %u multiprocessors\n\n", properties.name.c_str(),
              properties.multiprocessors);
  std::printf(
      "Reading alone: %.0f GB/s, 20 MB at a time %.0f GB/s. Copies: %.1f GB/s to the device, %.1f from it, "
      "%.0f on it.\n\n",
      ceiling, small_ceiling, copies[0], copies[1], copies[2]);
  std::printf(
      "| type | matrix | MB | 1 row, GB/s | 2 | 4 | 8 | 1 row of reading | TOPS (rows) "
      "|\n|---|---|---|---|---|---|---|---|---|\n");
  Json report{{"device", to_json(properties)},
              {"read_ceiling_gb_per_s", ceiling},
              {"read_ceiling_20mb_gb_per_s", small_ceiling},
              {"to_device_gb_per_s", copies[0]},
              {"from_device_gb_per_s", copies[1]},
              {"on_device_gb_per_s", copies[2]},
              {"kernels", Json::array()}};
  std::size_t large = 0, reached = 0, left_out = 0;
  for (const auto& [shape, type] : cases) {
    if (seconds_since(start) > options.limit_s) {
      ++left_out;
      continue;
    }
    report["kernels"].push_back(measure(bench, shape, type, ceiling));
    const auto& kernel = report["kernels"].back();
    print(kernel, ceiling);
    if (kernel["bytes"].get<std::uint64_t>() < kLargeMatrixBytes) continue;
    ++large;
    if (kernel["share_of_ceiling"].get<double>() >= kGoal) ++reached;
  }
  report["large_matrices"] = large;
  report["large_matrices_at_goal"] = reached;
  report["left_out_for_time"] = left_out;
  std::printf(
      "\nOf %zu matrices of 20 MB and more, %zu are read at 80%% of the ceiling by one row; %zu left out for "
      "want of time.\n\n",
      large, reached, left_out);
  write_report(options.json, report);
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Measures the CUDA projection kernels.");
  Options options;
  app.add_option("--json", options.json, "file for all figures");
  app.add_option("--multiprocessors", options.multiprocessors, "use only so many of the GPU's; 0: all");
  app.add_option("--sample", options.sample_s, "seconds of a sample");
  app.add_option("--limit", options.limit_s, "seconds after which no further kernel is begun");
  app.add_flag("--tiny", options.tiny, "small matrices, to see whether this works");
  app.add_flag("--describe", options.describe, "only open the device and say what it is");
  CLI11_PARSE(app, argc, argv);
  options.describe ? describe(options) : run(options);
  return 0;
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_gpu_kernels: %s\n", error.what());
  return 1;
}
