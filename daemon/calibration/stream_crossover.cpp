#include "daemon/calibration/stream_crossover.h"

#include <algorithm>
#include <future>

#include "daemon/calibration/cpu_units.h"

namespace tandem::calibration {
namespace {

std::vector<ChunkTime> chunk_times(Pace& pace, unsigned threads, const FfnShape& shape,
                                   model::TensorType type, const std::vector<std::uint32_t>& rows) {
  cpu::Team team(threads);
  team.pin();
  HostMemory memory;
  const std::vector units{
      ffn_unit(shape.width, shape.ffn_width, static_cast<device::BlockType>(type), memory.view())};
  const auto scratch = scratch_for(units, shape.width, std::ranges::max(rows), memory.view());
  std::vector<ChunkTime> times;
  for (const auto n : rows) {
    if (!pace.begin("a chunk of " + std::to_string(n) + " rows on the CPU")) break;
    times.push_back({n, step_s(pace, team, cpu::best_kernel_set(), units, shape.width, scratch, n, n, n)});
  }
  return times;
}

}  // namespace

std::vector<ChunkTime> cpu_chunk_times(Pace& pace, unsigned threads, const FfnShape& shape,
                                       model::TensorType type, const std::vector<std::uint32_t>& rows) {
  if (rows.empty()) return {};
  // A thread of its own: pinning binds the caller too.
  return std::async(std::launch::async, [&] { return chunk_times(pace, threads, shape, type, rows); }).get();
}

double crossover_rows(const std::vector<ChunkTime>& on_cpu, const std::vector<ChunkTime>& streamed) {
  const auto measured = std::min(on_cpu.size(), streamed.size());
  const auto gain_s = [&](std::size_t i) { return on_cpu[i].seconds - streamed[i].seconds; };
  std::size_t pays = measured;  // from this chunk on
  while (pays > 0 && gain_s(pays - 1) >= 0) --pays;
  if (pays == measured) return 0;
  if (pays == 0) return streamed[0].rows;
  const double few = streamed[pays - 1].rows;
  const double enough = streamed[pays].rows;
  return few + (enough - few) * gain_s(pays - 1) / (gain_s(pays - 1) - gain_s(pays));
}

}  // namespace tandem::calibration
