#pragma once

#include <cstdint>

#include "model/hyperparameters.h"

namespace tandem::planner {

/// How a CPU stage cuts the queries of a step into tasks for its threads (backends/cpu/stage.cpp): at most
/// 64 queries, rows times heads of one KV head, that load a key once for all of them.  Where these are few,
/// the keys are cut too.
struct AttentionTiles {
  double loads_a_key = 1;  ///< by the tasks of one KV head, for each row that sees the key
  double imbalance = 1;    ///< time of the thread with most tasks over the mean of all
};

/// For `rows` rows of each of `sequences` in a team of `threads`.
AttentionTiles attention_tiles(const model::LayerSpec& layer, std::uint64_t rows, std::uint64_t sequences,
                               double threads);

}  // namespace tandem::planner
