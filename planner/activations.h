#pragma once

#include <cstdint>

#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::planner {

/// Byte sizes of a device's working buffers, one for each field of device::Scratch; the daemon carves the
/// activation arena in this order.  Each is a multiple of `kBufferAlignmentBytes`.
struct ActivationLayout {
  std::uint64_t residual_bytes = 0;  ///< x: (M, width) f32
  std::uint64_t normed_bytes = 0;
  std::uint64_t projected_bytes = 0;
  std::uint64_t q_bytes = 0;
  std::uint64_t k_bytes = 0;
  std::uint64_t v_bytes = 0;
  std::uint64_t attended_bytes = 0;
  std::uint64_t gate_bytes = 0;
  std::uint64_t up_bytes = 0;
  std::uint64_t quantised_bytes = 0;

  [[nodiscard]] std::uint64_t total_bytes() const noexcept {
    return residual_bytes + normed_bytes + projected_bytes + q_bytes + k_bytes + v_bytes + attended_bytes +
           gate_bytes + up_bytes + quantised_bytes;
  }
};

inline constexpr std::uint64_t kBufferAlignmentBytes = 64;

/// Bytes an activation row needs as integers: 40 for every 32 elements (scale, sum, 32 int8), or the same for
/// the 256-element blocks of the K types.
inline constexpr std::uint64_t kQuantisedBlockElems = 32;
inline constexpr std::uint64_t kQuantisedBlockBytes = 40;

/// Buffers for the largest layer of `hyper` at `micro_batch` rows.
ActivationLayout activation_layout(const model::Hyperparameters& hyper, std::uint32_t micro_batch);

/// KV row of one token in one layer: elements cached (model-spec 2.5) times the type's size.
std::uint64_t kv_row_bytes(const model::LayerSpec& layer, KvLayout layout, KvType type);

/// Rows of logits kept at once: every sequence's newest and its drafts, and at least 8 so that prompts can be
/// scored in groups.
std::uint32_t logit_rows(const Workload& workload);

}  // namespace tandem::planner
