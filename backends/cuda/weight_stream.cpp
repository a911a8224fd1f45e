#include "backends/cuda/weight_stream.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>

#include "backends/cuda/plane_layout.h"

namespace tandem::cuda {
namespace {

constexpr std::uint64_t kAlignment = 64;
constexpr std::uint64_t kLeastPinnedBytes = 256;  ///< more than a block of any type has

std::uint64_t blocks_of(const device::Matrix& matrix, const PlaneLayout& layout) {
  return std::uint64_t{matrix.in} / layout.block_elems * matrix.out;
}

/// Where a piece's norm lies in its buffer.
std::uint64_t norm_at(const device::Matrix& matrix) {
  const PlaneLayout layout = plane_layout(matrix.type);
  return (blocks_of(matrix, layout) * layout.block_bytes + kAlignment - 1) / kAlignment * kAlignment;
}

}  // namespace

void WeightStream::set_buffers(const device::StreamBuffers& buffers) {
  buffers_ = buffers;
}

std::size_t WeightStream::add(const HostPiece& piece) {
  const std::uint64_t bytes = norm_at(piece.matrix) + std::uint64_t{piece.norm_elems} * sizeof(float);
  if (bytes > buffers_.bytes || buffers_.pinned_bytes < kLeastPinnedBytes) {
    throw std::invalid_argument("CUDA: weights of " + std::to_string(bytes) +
                                " bytes cannot be streamed through a buffer of " +
                                std::to_string(buffers_.bytes));
  }
  pieces_.push_back(piece);
  return pieces_.size() - 1;
}

PieceOnDevice WeightStream::bring(std::size_t number, Stream& stream) {
  std::size_t slot = slot_of(number);
  if (slot == slots_.size()) slot = fill(number);
  newest_ = slot;
  stream.wait(slots_[slot].filled);
  return in_slot(slot, pieces_[number]);
}

void WeightStream::let_go(std::size_t number, Stream& stream) {
  slots_[slot_of(number)].used = stream.record();
}

void WeightStream::bring_next() {
  const std::size_t next = slots_[newest_].piece + 1;
  if (next < pieces_.size() && slot_of(next) == slots_.size()) newest_ = fill(next);
}

std::size_t WeightStream::slot_of(std::size_t number) const {
  const auto slot =
      std::find_if(slots_.begin(), slots_.end(), [number](const Slot& s) { return s.piece == number; });
  return static_cast<std::size_t>(slot - slots_.begin());
}

PieceOnDevice WeightStream::in_slot(std::size_t slot, const HostPiece& piece) const {
  const std::byte* at = buffers_.on_device[slot];
  return {at, piece.norm == nullptr ? nullptr : reinterpret_cast<const float*>(at + norm_at(piece.matrix))};
}

/// Enqueues the copy of a piece to the slot that is not the newest; returns that.
std::size_t WeightStream::fill(std::size_t number) {
  const HostPiece& piece = pieces_[number];
  const std::size_t number_of_slot = 1 - newest_;
  Slot& slot = slots_[number_of_slot];
  slot.piece = kNone;  // should a copy fail
  copies_.wait(slot.used);
  const PlaneLayout layout = plane_layout(piece.matrix.type);
  const std::uint64_t blocks = blocks_of(piece.matrix, layout);
  const auto* source = static_cast<const std::byte*>(piece.matrix.data);
  std::byte* plane = buffers_.on_device[number_of_slot];
  for (const BlockPart& part : layout.parts) {
    if (part.bytes == 0) break;
    const std::uint64_t step = buffers_.pinned_bytes / part.bytes;
    for (std::uint64_t first = 0; first < blocks; first += step) {
      const std::uint64_t n = std::min(step, blocks - first);
      copy(plane + first * part.bytes, n * part.bytes, [&](std::byte* pinned) {
        gather_part(layout, part, source + first * layout.block_bytes, n, pinned);
      });
    }
    plane += blocks * part.bytes;
  }
  std::byte* norm = buffers_.on_device[number_of_slot] + norm_at(piece.matrix);
  const std::uint64_t norm_bytes = std::uint64_t{piece.norm_elems} * sizeof(float);
  for (std::uint64_t at = 0; at < norm_bytes; at += buffers_.pinned_bytes) {
    const std::uint64_t n = std::min(buffers_.pinned_bytes, norm_bytes - at);
    const auto* from = reinterpret_cast<const std::byte*>(piece.norm) + at;
    copy(norm + at, n, [&](std::byte* pinned) { std::memcpy(pinned, from, n); });
  }
  slot.filled = copies_.record();
  slot.piece = number;
  return number_of_slot;
}

/// Enqueues one copy of what `fill` puts into pinned memory.
template <class Fill>
void WeightStream::copy(std::byte* to, std::uint64_t bytes, const Fill& fill) {
  std::byte* pinned = buffers_.pinned[next_pinned_];
  Event& copied = copied_[next_pinned_];
  next_pinned_ = 1 - next_pinned_;
  copied.synchronise();
  fill(pinned);
  copies_.copy_to_device(to, pinned, bytes);
  copied = copies_.record();
}

}  // namespace tandem::cuda
