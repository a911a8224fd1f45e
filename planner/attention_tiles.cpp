#include "planner/attention_tiles.h"

#include <algorithm>
#include <cmath>

namespace tandem::planner {
namespace {

constexpr double kTileQueries = 64;
constexpr double kTasksOfAThread = 4;

}  // namespace

AttentionTiles attention_tiles(const model::LayerSpec& layer, std::uint64_t rows, std::uint64_t sequences,
                               double threads) {
  const auto all_rows = static_cast<double>(rows) * static_cast<double>(sequences);
  const double kv_heads = layer.kv_heads;
  const double group = layer.heads / kv_heads;
  const auto tasks_for = [&](double heads) { return all_rows * kv_heads * std::ceil(group / heads); };
  const auto heads = std::min(group, kTileQueries);
  // Few tasks: the keys are cut too, evenly.
  if (threads > 1 && tasks_for(heads) < kTasksOfAThread * threads) return {std::ceil(group / heads), 1};
  const auto most_rows = std::max(1.0, std::floor(kTileQueries / heads));
  const auto wanted_rows =
      std::clamp(std::floor(tasks_for(heads) / (threads * kTasksOfAThread)), 1.0, most_rows);
  const auto tile_rows = std::min(wanted_rows, static_cast<double>(rows));
  const auto row_tiles = static_cast<double>(sequences) * std::ceil(static_cast<double>(rows) / tile_rows);
  const auto tasks = row_tiles * kv_heads * std::ceil(group / heads);
  return {std::ceil(group / heads) / tile_rows, std::ceil(tasks / threads) * threads / tasks};
}

}  // namespace tandem::planner
