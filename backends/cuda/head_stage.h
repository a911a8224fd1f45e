#pragma once

#include <cstdint>
#include <memory>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Numbers that go to the device with every call: pinned, and where they go.
struct NumberBuffers {
  std::uint32_t* on_device = nullptr;
  std::uint32_t* pinned = nullptr;
  std::uint32_t n = 0;  ///< that there is room for

  /// Puts a copy into the stream.  Throws std::runtime_error if there are too many; the last copy must be
  /// done.
  void send(Stream& stream, const void* numbers, std::uint32_t count) const;
};

/// Embedding and head on the device, either of which may be absent (its matrix null).  Memory and the stream
/// belong to the caller and outlive it.  Throws std::invalid_argument as make_stage.
std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                   const device::Head& head, const device::StageShape& shape,
                                                   const device::Scratch& scratch,
                                                   const NumberBuffers& tokens, const NumberBuffers& indices,
                                                   Stream& stream);

}  // namespace tandem::cuda
