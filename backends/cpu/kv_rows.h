#pragma once

#include <cstdint>

#include "backends/cpu/mutant.h"
#include "backends/device.h"

namespace tandem::cpu {

/// Index of the cache row that holds `position` of a sequence (device.h, KvCache).
[[gnu::always_inline]] inline std::uint64_t kv_cell(const device::KvCache& kv,
                                                    const device::SequenceRows& seq,
                                                    std::uint64_t position) noexcept {
  if (kv.cells != 0) {
    // One cell fewer would still do: a query finds its own key in staging.
    const std::uint64_t cells = mutant(Mutant::ring_too_small) ? kv.cells - 2 : kv.cells;
    return std::uint64_t{seq.slot} * kv.cells + position % cells;
  }
  return std::uint64_t{seq.pages[position / kv.page_tok]} * kv.page_tok + position % kv.page_tok;
}

/// Bytes of `elems` elements in a KV cache.
[[gnu::always_inline]] constexpr std::size_t kv_bytes(device::KvType type, std::size_t elems) noexcept {
  switch (type) {
    case device::KvType::f32:
      return elems * 4;
    case device::KvType::f16:
      return elems * 2;
    case device::KvType::q8_0:
      return elems / 32 * 34;
  }
  return 0;
}

}  // namespace tandem::cpu
