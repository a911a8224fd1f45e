#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "backends/device.h"
#include "memory/arena.h"
#include "model/gguf.h"

namespace tandem::memory {

/// The tensors of a mapped model file as the CPU reads them: in place.
class WeightStore {
 public:
  /// Throws BadModel if tensor data is missing at the end of the file.
  explicit WeightStore(model::Header header);

  [[nodiscard]] const model::Header& header() const noexcept { return header_; }
  [[nodiscard]] bool contains(std::string_view name) const noexcept;

  /// Tensor `name` for the CPU; its bytes count in `arena`.  Shapes were checked with the header.  Throws
  /// BadModel if it is absent, UnsupportedModel if it does not start at a multiple of 4 bytes in the file:
  /// general.alignment may be 1 or 2, no known file has that, and copies would not be in any plan.
  device::Matrix matrix(std::string_view name, Arena& arena) const;
  const float* vector(std::string_view name, Arena& arena) const;

  /// Tensor `name`, of a float type, stored as `type` in a piece of `arena`, with all processors; the file's
  /// copy is not needed any more and leaves memory.  Throws as `matrix` does.
  device::Matrix quantised(std::string_view name, model::TensorType type, Arena& arena);

  /// Bytes of tensor `name` in the file.  Throws BadModel if it is absent.
  [[nodiscard]] std::uint64_t size_bytes(std::string_view name) const;

  /// Reads the tensors of the text model from disk, so that serving does not wait for them.  Those of vision
  /// and audio stay there: no unit reads them and no plan counts them.  Throws Error if that fails.
  void prefault(const Progress& progress) const;

  /// What prefault reads.
  [[nodiscard]] std::uint64_t text_bytes() const;

 private:
  [[nodiscard]] std::span<const std::byte> data(const model::TensorInfo& tensor) const;
  [[nodiscard]] const model::TensorInfo& tensor(std::string_view name) const;

  [[nodiscard]] bool is_needed(const model::TensorInfo& tensor) const;

  model::Header header_;
  std::set<std::string, std::less<>> released_;  ///< tensors that were stored in another type
};

}  // namespace tandem::memory
