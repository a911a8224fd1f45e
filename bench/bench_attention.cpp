// Attention on the CPU, as a stage computes it: the time of one layer at the end of a context, its KV in fp16
// and together far larger than the caches.  A line says GB/s of the KV that a step has to read, once, and
// GFLOP/s. Rows are one sequence's: one as in decoding, many as in a prompt.
//
//   bench_attention [THREADS ...]     1 and 4 by default

#include <algorithm>
#include <cstdio>
#include <string>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/team.h"
#include "daemon/calibration/cpu_units.h"

namespace tandem::bench {
namespace {

using calibration::AttentionHalves;
using calibration::AttentionShape;
using device::KvLayout;

constexpr std::uint64_t kKvBytes = std::uint64_t{512} << 20;  // of all layers that are measured together

constexpr std::uint32_t kMicroBatch = 512;  // rows that there is scratch for, as by default

struct Layer {
  const char* name;
  AttentionShape shape;
};

constexpr Layer kLayers[] = {
    {"Gemma 4 12B sliding, 16 on 8 heads of 256", {32, 16, 8, 256, 128, KvLayout::separate}},
    {"Gemma 4 12B global, 16 on 1 head of 512, one vector", {32, 16, 1, 512, 64, KvLayout::vector}},
    {"the same, K and V", {32, 16, 1, 512, 64, KvLayout::separate}},
    {"16 on 1 head of 256, one vector", {32, 16, 1, 256, 32, KvLayout::vector}},
    {"the same, K and V", {32, 16, 1, 256, 32, KvLayout::separate}},
    {"Gemma 3 27B, 32 on 16 heads of 128", {32, 32, 16, 128, 64, KvLayout::separate}},
};

void measure(const Layer& layer, std::uint32_t context, std::uint32_t rows, unsigned threads) {
  auto shape = layer.shape;
  shape.context = context;
  const std::uint64_t vectors = shape.layout == KvLayout::separate ? 2 : 1;
  const auto kv_bytes = vectors * shape.kv_heads * shape.head_dim * sizeof(std::uint16_t) * context;
  const auto count = rows == 1 ? std::max<std::uint64_t>(1, kKvBytes / kv_bytes) : 1;
  const AttentionHalves halves(shape, count, kMicroBatch);
  calibration::Pace pace({20, 1, 5, 0.1}, [](const auto&, double) {});
  pace.begin(layer.name);
  cpu::Team team(threads);
  const auto seconds =
      halves.seconds(pace, team, cpu::best_kernel_set(), rows, count) / static_cast<double>(count);
  const auto flop = 4.0 * shape.heads * shape.head_dim * context * rows;
  std::printf("%-52s %6u tokens %3u rows %2u threads  %8.3f ms  %6.2f GB/s  %6.1f GFLOP/s\n", layer.name,
              context, rows, threads, seconds * 1e3, static_cast<double>(kv_bytes) / seconds / 1e9,
              flop / seconds / 1e9);
}

}  // namespace
}  // namespace tandem::bench

int main(int argc, char** argv) {
  std::vector<unsigned> teams;
  for (int i = 1; i < argc; ++i) teams.push_back(static_cast<unsigned>(std::max(1, std::stoi(argv[i]))));
  if (teams.empty()) teams = {1, 4};
  for (const auto threads : teams) {
    for (const auto& layer : tandem::bench::kLayers) {
      for (const std::uint32_t context : {4096U, 16'384U}) tandem::bench::measure(layer, context, 1, threads);
      tandem::bench::measure(layer, 4096, 64, threads);
    }
  }
  return 0;
}
