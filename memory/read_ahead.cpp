#include "memory/read_ahead.h"

#include <algorithm>
#include <utility>

#include "memory/pages.h"

namespace tandem::memory {

ReadAhead::ReadAhead(std::vector<std::span<const std::byte>> pieces) : pieces_(std::move(pieces)) {}

bool ReadAhead::bring(std::size_t i) noexcept {
  const auto end = std::min(i + 1 + kPiecesAhead, pieces_.size());
  for (auto next = begun_.load(); next < end;) {
    if (begun_.compare_exchange_weak(next, next + 1)) begin_reading(pieces_[next++]);
  }
  return populate_for_reading(pieces_[i]);
}

}  // namespace tandem::memory
