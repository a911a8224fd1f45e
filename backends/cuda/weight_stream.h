#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "backends/cuda/runtime.h"
#include "backends/cuda/upload_buffer.h"
#include "backends/device.h"

namespace tandem::cuda {

/// A matrix in host memory, as GGUF stores it, and a norm that belongs to it.
struct HostPiece {
  device::Matrix matrix;
  const float* norm = nullptr;  ///< null = none
  std::uint32_t norm_elems = 0;
};

/// A piece while it is on the device; the matrix lies in planes (plane_layout.h).
struct PieceOnDevice {
  const std::byte* matrix = nullptr;
  const float* norm = nullptr;
};

/// Pieces that pass through the two buffers on the device.  Copies have a stream of their own: `bring`
/// returns when the copy is enqueued, so that it runs while the piece before is computed with.
class WeightStream {
 public:
  explicit WeightStream(Device& device) : copies_(device) {}

  /// Before the first piece is added.
  void set_buffers(const device::StreamBuffers& buffers);

  /// Makes a piece known and returns its number; pieces are added in the order in which they will be wanted.
  /// Throws std::invalid_argument if it is larger than a buffer.
  std::size_t add(const HostPiece& piece);

  /// The piece, for work that `stream` gets from now on until `let_go`; it is copied unless it is there.  At
  /// most the piece brought last is still held.  Throws DeviceError.
  PieceOnDevice bring(std::size_t number, Stream& stream);

  /// `stream` has got all the work that uses the piece.
  void let_go(std::size_t number, Stream& stream);

  /// Copies the piece after the one that was brought last, if there is one, ahead of its being wanted.  No
  /// piece is held.
  void bring_next();

  /// Waits until no copy is under way.
  void wait() { copies_.synchronise(); }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};

  /// A buffer on the device.
  struct Slot {
    std::size_t piece = kNone;
    Event filled;  ///< in copies_
    Event used;    ///< in the stream that computed with it last
  };

  std::size_t fill(std::size_t number);
  [[nodiscard]] std::size_t slot_of(std::size_t number) const;
  [[nodiscard]] PieceOnDevice in_slot(std::size_t slot, const HostPiece& piece) const;
  void send(std::byte* to, std::uint64_t n, std::uint64_t item_bytes, const UploadBuffer::Fill& fill);

  Stream copies_;
  device::StreamBuffers buffers_;
  std::vector<HostPiece> pieces_;
  std::array<Slot, 2> slots_;
  std::size_t newest_ = 0;  ///< slot filled or brought last
  std::unique_ptr<UploadBuffer> pinned_;
};

}  // namespace tandem::cuda
