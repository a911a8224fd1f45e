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
  pinned_ = std::make_unique<UploadBuffer>(buffers.pinned, buffers.pinned_bytes);
}

std::size_t WeightStream::add(const HostPiece& piece) {
  const std::uint64_t bytes = norm_at(piece.matrix) + std::uint64_t{piece.norm_elems} * sizeof(float);
  if (pinned_ == nullptr || bytes > buffers_.bytes || pinned_->half_bytes() < kLeastPinnedBytes) {
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
    send(plane, blocks, part.bytes, [&](std::uint64_t first, std::uint64_t n, std::byte* pinned) {
      gather_part(layout, part, source + first * layout.block_bytes, n, pinned);
    });
    plane += blocks * part.bytes;
  }
  send(buffers_.on_device[number_of_slot] + norm_at(piece.matrix), piece.norm_elems, sizeof(float),
       [&](std::uint64_t first, std::uint64_t n, std::byte* pinned) {
         std::memcpy(pinned, piece.norm + first, n * sizeof(float));
       });
  slot.filled = copies_.record();
  slot.piece = number;
  return number_of_slot;
}

/// Enqueues copies of `n` items of `item_bytes` bytes, as many at a time as pinned memory holds.
void WeightStream::send(std::byte* to, std::uint64_t n, std::uint64_t item_bytes,
                        const UploadBuffer::Fill& fill) {
  const std::uint64_t step = pinned_->half_bytes() / item_bytes;
  for (std::uint64_t at = 0; at < n; at += step) {
    pinned_->send(copies_, to + at * item_bytes, std::min(step, n - at), item_bytes,
                  [&](std::uint64_t first, std::uint64_t items, std::byte* pinned) {
                    fill(at + first, items, pinned);
                  });
  }
}

}  // namespace tandem::cuda
