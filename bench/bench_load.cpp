// How fast a model's weights come into memory where the CPU uses them in place, where they are repacked and
// where they go to an emulated GPU, beside plain reads of the same file and plain copies by that GPU, in
// turns, with the file in the page cache and without.
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

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
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

/// Seconds of BoundPlan::load with everything on `device`.
double load_s(const std::filesystem::path& path, planner::Device device, const device::Repacker* repacker) {
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
  const auto start = Clock::now();
  bound.load({}, cpu::Team().threads());
  return seconds_since(start);
}

/// Seconds that an emulated device takes to copy `bytes` from a little pinned memory.
double copies_s(std::uint64_t bytes) {
  constexpr std::uint64_t kCopyBytes = 512 << 10;
  auto device = cuda::emulation::make_device({.memory_bytes = bytes, .guarded = false});
  cuda::Stream stream(device);
  const cuda::PinnedMemory pinned(device, kCopyBytes);
  const cuda::DeviceMemory memory(device, bytes);
  const auto start = Clock::now();
  for (std::uint64_t at = 0; at < bytes; at += kCopyBytes) {
    stream.copy_to_device(memory.data() + at, pinned.data(), std::min(kCopyBytes, bytes - at));
    stream.synchronise();
  }
  return seconds_since(start);
}

void run(const std::filesystem::path& path, int rounds) {
  PlainFile file(path);
  const auto file_bytes = file.read_all();
  const auto bytes = static_cast<double>(file_bytes);
  std::map<std::string, std::vector<double>> gb_per_s;
  const auto note = [&](bool cached, const std::string& what, const auto& seconds_of) {
    if (!cached) file.leave_page_cache();
    const auto name = (cached ? "cached: " : "not cached: ") + what;
    const auto rate = bytes / seconds_of() / 1e9;
    gb_per_s[name].push_back(rate);
    std::fprintf(stderr, "%-40s %6.2f\n", name.c_str(), rate);
  };
  for (int round = 0; round < rounds; ++round) {
    for (const bool cached : {false, true}) {
      note(cached, "plain read", [&] {
        const auto start = Clock::now();
        static_cast<void>(file.read_all());
        return seconds_since(start);
      });
      using planner::Device;
      note(cached, "load, used in place", [&] { return load_s(path, Device::cpu, nullptr); });
      note(cached, "load, repacked", [&] { return load_s(path, Device::cpu, &cpu::best_repacker()); });
      note(cached, "load, emulated GPU", [&] { return load_s(path, Device::emulated0, nullptr); });
    }
    note(true, "the emulated GPU's copies", [&] { return copies_s(file_bytes); });
  }
  std::printf("%.2f GB, %d rounds; GB/s: median (range)\n", bytes / 1e9, rounds);
  for (const auto& [what, values] : gb_per_s) {
    const auto [low, high] = std::ranges::minmax(values);
    std::printf("%-40s %6.2f (%.2f to %.2f)\n", what.c_str(), median(values), low, high);
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
