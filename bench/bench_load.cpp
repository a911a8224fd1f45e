// How fast a model's weights come into memory where the CPU uses them in place, where they are repacked and
// where they go to an emulated GPU, beside plain reads of the same file and plain copies by that GPU, in
// turns, with the file in the page cache and without; and what processor time each takes, of all threads.
//
//   bench_load MODEL.gguf [ROUNDS]
//
// What the emulated GPU shows is how well reads, staging and copies overlap; its copies are the work of one
// thread of this machine.  The way to a real one is timed by bench_gpu_steps (load_s).

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>
#include <vector>

#include "backends/cpu/repacked.h"
#include "backends/cpu/team.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"

namespace tandem::bench {
namespace {

using Clock = std::chrono::steady_clock;

/// What something takes.
struct Cost {
  double s = 0;
  double processor_s = 0;  ///< of all threads
};

template <class Work>
Cost cost_of(const Work& work) {
  const auto start = Clock::now();
  const auto processor_start = std::clock();
  work();
  return {std::chrono::duration<double>(Clock::now() - start).count(),
          static_cast<double>(std::clock() - processor_start) / CLOCKS_PER_SEC};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

/// A file that is read plainly, and can be made to leave the page cache.
class PlainFile {
 public:
  explicit PlainFile(const std::filesystem::path& path)
      : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (descriptor_ < 0) throw std::runtime_error("cannot open " + path.string());
  }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;
  ~PlainFile() { close(descriptor_); }

  void leave_page_cache() const { posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

  /// Reads all of it, 4 MiB at a time; returns its bytes.
  [[nodiscard]] std::uint64_t read_all() {
    std::uint64_t total = 0;
    while (true) {
      const auto n = pread(descriptor_, buffer_.data(), buffer_.size(), static_cast<off_t>(total));
      if (n < 0) throw std::runtime_error("the file cannot be read");
      if (n == 0) return total;
      total += static_cast<std::uint64_t>(n);
    }
  }

 private:
  int descriptor_;
  std::vector<std::byte> buffer_ = std::vector<std::byte>(std::size_t{4} << 20);
};

/// BoundPlan::load with everything on `device`.
Cost load(const std::filesystem::path& path, planner::Device device, const device::Repacker* repacker) {
  const auto header = model::read_header(path);
  const auto hyper = model::read_hyperparameters(header);
  planner::Workload workload;
  workload.max_seq_len = 256;
  workload.micro_batch = 8;
  const auto placement = planner::Placement::all_on(device, hyper.layers.size());
  const auto plan = planner::plan_for_placement(planner::model_input(header, hyper), {}, workload,
                                                planner::builtin_machine("default"), placement);
  std::unique_ptr<device::Accelerator> accelerator;
  if (device != planner::Device::cpu) {
    const cuda::emulation::Options options{.memory_bytes = plan.vram_bytes, .guarded = false};
    accelerator = cuda::make_accelerator(cuda::emulation::make_device(options));
  }
  memory::BoundPlan bound(plan, header, hyper, accelerator.get(), repacker);
  const auto threads = cpu::Team().threads();
  return cost_of([&] { bound.load({}, threads); });
}

/// An emulated device's copies of `bytes` from a little pinned memory.
Cost copies(std::uint64_t bytes) {
  constexpr std::uint64_t kCopyBytes = 512 << 10;
  auto device = cuda::emulation::make_device({.memory_bytes = bytes, .guarded = false});
  cuda::Stream stream(device);
  const cuda::PinnedMemory pinned(device, kCopyBytes);
  const cuda::DeviceMemory memory(device, bytes);
  return cost_of([&] {
    for (std::uint64_t at = 0; at < bytes; at += kCopyBytes) {
      stream.copy_to_device(memory.data() + at, pinned.data(), std::min(kCopyBytes, bytes - at));
      stream.synchronise();
    }
  });
}

void run(const std::filesystem::path& path, int rounds) {
  PlainFile file(path);
  const auto file_bytes = file.read_all();
  const auto bytes = static_cast<double>(file_bytes);
  struct Rates {
    std::vector<double> gb_per_s;
    std::vector<double> processor_s_per_gb;
  };
  std::map<std::string, Rates> rates;
  const auto note = [&](bool cached, const std::string& what, const auto& work) {
    if (!cached) file.leave_page_cache();
    const auto name = (cached ? "cached: " : "not cached: ") + what;
    const Cost cost = work();
    auto& of_it = rates[name];
    of_it.gb_per_s.push_back(bytes / cost.s / 1e9);
    of_it.processor_s_per_gb.push_back(cost.processor_s / bytes * 1e9);
    std::fprintf(stderr, "%-40s %6.2f %6.3f\n", name.c_str(), of_it.gb_per_s.back(),
                 of_it.processor_s_per_gb.back());
  };
  for (int round = 0; round < rounds; ++round) {
    for (const bool cached : {false, true}) {
      note(cached, "plain read", [&] { return cost_of([&] { static_cast<void>(file.read_all()); }); });
      using planner::Device;
      note(cached, "load, used in place", [&] { return load(path, Device::cpu, nullptr); });
      note(cached, "load, repacked", [&] { return load(path, Device::cpu, &cpu::best_repacker()); });
      note(cached, "load, emulated GPU", [&] { return load(path, Device::emulated0, nullptr); });
    }
    note(true, "the emulated GPU's copies", [&] { return copies(file_bytes); });
  }
  std::printf("%.2f GB, %d rounds; GB/s: median (range); processor seconds a GB: median\n", bytes / 1e9,
              rounds);
  for (const auto& [what, of_it] : rates) {
    const auto [low, high] = std::ranges::minmax(of_it.gb_per_s);
    std::printf("%-40s %6.2f (%.2f to %.2f) %6.3f\n", what.c_str(), median(of_it.gb_per_s), low, high,
                median(of_it.processor_s_per_gb));
  }
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: bench_load MODEL.gguf [ROUNDS]\n");
    return 2;
  }
  try {
    tandem::bench::run(argv[1], argc == 3 ? std::max(1, std::stoi(argv[2])) : 3);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_load: %s\n", error.what());
    return 1;
  }
}
