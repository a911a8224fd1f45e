#pragma once

#include <cstdint>

#include "backends/cuda/head_stage.h"
#include "backends/cuda/runtime.h"
#include "backends/cuda/step_rows.h"
#include "backends/device.h"

namespace tandem::cuda {

/// What changes with every step: tokens, wanted rows, where each row stands, page tables.  Kernels and
/// captured graphs read it on the device, at addresses that never change.
class StepDescriptor {
 public:
  /// For micro-batches of up to `max_rows` rows.
  StepDescriptor(const device::StepBuffers& buffers, std::uint32_t max_rows);

  [[nodiscard]] NumberBuffers tokens() const;
  [[nodiscard]] NumberBuffers indices() const;

  /// Where micro-batches are written to, before one was.
  [[nodiscard]] StepRows empty() const;

  /// Writes the micro-batch down and puts its copy into the stream; the last copy must be done.  Global
  /// layers have pages of `page_tok` tokens, 0 = there are none.  Rows beyond the batch's, up to its row
  /// class, are marked as padding.  Throws std::runtime_error if the batch is larger than the buffers.
  StepRows write(const device::MicroBatch& batch, std::uint32_t page_tok, Stream& stream) const;

 private:
  [[nodiscard]] NumberBuffers numbers_at(std::uint64_t at, std::uint32_t n) const;

  device::StepBuffers buffers_;
  std::uint32_t max_rows_;
  std::uint64_t indices_at_, rows_at_, pages_at_;
};

}  // namespace tandem::cuda
