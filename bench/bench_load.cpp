// How fast a model's weights come into memory where the CPU uses them in place, where they are repacked and
// where they go to an emulated GPU; in turns with the least that each of them is made of, which is done
// plainly by as many threads: reading the file, reading it and copying it into memory that is touched for the
// first time, reading it and copying it into the device's memory.  With the file in the page cache and
// without, and what processor time each takes, of all threads.
//
//   bench_load MODEL.gguf [ROUNDS]
//
// Shares are of the same round.  What the emulated GPU shows is how well reads, staging and copies overlap;
// its copies are the work of a thread of this machine.  The way to a real one is timed by bench_gpu_steps
// (load_s).

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <fcntl.h>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>
#include <thread>
#include <unistd.h>
#include <utility>
#include <vector>

#include "backends/cpu/repacked.h"
#include "backends/cpu/team.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "memory/arena.h"
#include "memory/bind.h"
#include "memory/pages.h"
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

/// How a file is read plainly: pieces of `bytes`, in turn by each of `threads` threads.
struct Pieces {
  unsigned threads = 1;
  std::size_t bytes = 0;
};

/// A file that is read plainly, and can be made to leave the page cache.
class PlainFile {
 public:
  explicit PlainFile(const std::filesystem::path& path)
      : descriptor_(open(path.c_str(), O_RDONLY | O_CLOEXEC)), bytes_(std::filesystem::file_size(path)) {
    if (descriptor_ < 0) throw std::runtime_error("cannot open " + path.string());
  }
  PlainFile(const PlainFile&) = delete;
  PlainFile& operator=(const PlainFile&) = delete;
  ~PlainFile() { close(descriptor_); }

  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

  void leave_page_cache() const { posix_fadvise(descriptor_, 0, 0, POSIX_FADV_DONTNEED); }

  /// Reads all of it; `use(at, piece)` follows on each piece, in memory of its thread.
  template <class Use>
  void read_all(Pieces pieces, const Use& use) const {
    std::atomic<std::size_t> next = 0;
    std::atomic<bool> failed = false;
    const auto work = [&] {
      std::vector<std::byte> memory(pieces.bytes);
      for (auto at = next.fetch_add(pieces.bytes); at < bytes_; at = next.fetch_add(pieces.bytes)) {
        const auto piece = std::span(memory).first(std::min(pieces.bytes, bytes_ - at));
        if (!read(at, piece)) failed = true;
        use(at, piece);
      }
    };
    {
      std::vector<std::jthread> threads;
      for (unsigned i = 0; i < pieces.threads; ++i) threads.emplace_back(work);
    }
    if (failed) throw std::runtime_error("the file cannot be read");
  }

 private:
  [[nodiscard]] bool read(std::size_t at, std::span<std::byte> to) const {
    while (!to.empty()) {
      const auto n = pread(descriptor_, to.data(), to.size(), static_cast<off_t>(at));
      if (n <= 0) return false;
      at += static_cast<std::size_t>(n);
      to = to.subspan(static_cast<std::size_t>(n));
    }
    return true;
  }

  int descriptor_;
  std::size_t bytes_;
};

Cost read_plainly(const PlainFile& file, Pieces pieces) {
  return cost_of([&] { file.read_all(pieces, [](std::size_t, std::span<const std::byte>) {}); });
}

/// With all of it in new memory, of the kind that repacked weights lie in.
Cost read_into_new_memory(const PlainFile& file, Pieces pieces) {
  const planner::ArenaPlan line{planner::Device::cpu, planner::Purpose::weights, file.bytes()};
  auto arena = memory::Arena::host(line);
  const auto to = arena.take(file.bytes());
  return cost_of([&] {
    file.read_all(pieces, [&](std::size_t at, std::span<const std::byte> piece) {
      static_cast<void>(memory::populate_for_writing(to.subspan(at, piece.size())));
      std::memcpy(to.data() + at, piece.data(), piece.size());
    });
  });
}

/// With all of it in memory of the emulated device, which is touched before.
Cost read_into_device_memory(const PlainFile& file, Pieces pieces) {
  auto device = cuda::emulation::make_device({.memory_bytes = file.bytes(), .guarded = false});
  const cuda::DeviceMemory to(device, file.bytes());
  return cost_of([&] {
    file.read_all(pieces, [&](std::size_t at, std::span<const std::byte> piece) {
      std::memcpy(to.data() + at, piece.data(), piece.size());
    });
  });
}

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

struct Subject {
  std::string name;
  std::function<Cost()> run;
  std::size_t plain = 0;  ///< where a load's plain counterpart is among the subjects; 0 where it is none
};

/// Of one subject, a number for each round.
struct Rates {
  std::vector<double> gb_per_s;
  std::vector<double> processor_s_per_gb;
};

class Comparison {
 public:
  explicit Comparison(const std::filesystem::path& path) : file_(path) {
    const auto threads = cpu::Team().threads();
    constexpr std::size_t kKibibyte = 1024;
    for (const Pieces pieces : {Pieces{1, 4096 * kKibibyte}, Pieces{threads, 1024 * kKibibyte},
                                Pieces{2 * threads, 512 * kKibibyte}}) {
      subjects_.push_back({"plain read, " + std::to_string(pieces.threads) + " threads, " +
                               std::to_string(pieces.bytes / kKibibyte) + " KiB",
                           [this, pieces] { return read_plainly(file_, pieces); }});
    }
    plain_reads_ = subjects_.size();
    const Pieces pieces{threads, 512 * kKibibyte};
    const auto add = [&](const char* name, const auto& run) {
      subjects_.push_back({name, run});
      return subjects_.size() - 1;
    };
    const auto add_load = [&](const char* name, planner::Device device, const device::Repacker* repacker,
                              std::size_t plain) {
      subjects_.push_back({name, [=] { return load(path, device, repacker); }, plain});
    };
    const auto in_new = add("plain read, and a copy in new memory",
                            [this, pieces] { return read_into_new_memory(file_, pieces); });
    const auto in_device = add("plain read, and a copy in device memory",
                               [this, pieces] { return read_into_device_memory(file_, pieces); });
    add_load("load, used in place", planner::Device::cpu, nullptr, 0);
    add_load("load, repacked", planner::Device::cpu, &cpu::best_repacker(), in_new);
    add_load("load, emulated GPU", planner::Device::emulated0, nullptr, in_device);
  }

  void run(bool cached, int rounds) {
    std::vector<Rates> rates(subjects_.size());
    const auto bytes = static_cast<double>(file_.bytes());
    if (cached) static_cast<void>(subjects_.front().run());
    for (int round = 0; round < rounds; ++round) {
      for (std::size_t i = 0; i < subjects_.size(); ++i) {
        if (!cached) file_.leave_page_cache();
        const auto cost = subjects_[i].run();
        rates[i].gb_per_s.push_back(bytes / cost.s / 1e9);
        rates[i].processor_s_per_gb.push_back(cost.processor_s / bytes * 1e9);
      }
    }
    print(cached, rates);
  }

 private:
  void print(bool cached, const std::vector<Rates>& rates) const {
    std::printf("%.2f GB, %s the page cache, %zu rounds: median (range)\n",
                static_cast<double>(file_.bytes()) / 1e9, cached ? "in" : "not in", rates[0].gb_per_s.size());
    std::printf("%-42s %-24s %-8s %-24s %s\n", "", "GB/s", "cpu s/GB", "of the fastest plain read",
                "of its plain counterpart");
    for (std::size_t i = 0; i < subjects_.size(); ++i) {
      std::printf("%-42s %s %8.3f", subjects_[i].name.c_str(), summary(rates[i].gb_per_s).c_str(),
                  median(rates[i].processor_s_per_gb));
      if (i >= plain_reads_) std::printf(" %s", summary(shares(rates, i, 0, plain_reads_)).c_str());
      if (const auto plain = subjects_[i].plain; plain != 0) {
        std::printf(" %s", summary(shares(rates, i, plain, plain + 1)).c_str());
      }
      std::printf("\n");
    }
  }

  /// Round by round, of the fastest of some others.
  static std::vector<double> shares(const std::vector<Rates>& rates, std::size_t of, std::size_t first,
                                    std::size_t end) {
    auto shares = rates[of].gb_per_s;
    for (std::size_t round = 0; round < shares.size(); ++round) {
      double fastest = 0;
      for (auto i = first; i < end; ++i) fastest = std::max(fastest, rates[i].gb_per_s[round]);
      shares[round] /= fastest;
    }
    return shares;
  }

  static std::string summary(const std::vector<double>& values) {
    const auto [low, high] = std::ranges::minmax(values);
    std::array<char, 64> text{};
    std::snprintf(text.data(), text.size(), "%6.2f (%.2f to %.2f)", median(values), low, high);
    std::string padded(text.data());
    padded.resize(24, ' ');
    return padded;
  }

  PlainFile file_;
  std::vector<Subject> subjects_;
  std::size_t plain_reads_ = 0;  ///< the first so many of them
};

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::fprintf(stderr, "usage: bench_load MODEL.gguf [ROUNDS]\n");
    return 2;
  }
  try {
    const int rounds = argc == 3 ? std::max(1, std::stoi(argv[2])) : 3;
    tandem::bench::Comparison comparison(argv[1]);
    for (const bool cached : {false, true}) comparison.run(cached, rounds);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_load: %s\n", error.what());
    return 1;
  }
}
