#pragma once

#include <cstdint>
#include <functional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "backends/device.h"
#include "memory/arena.h"
#include "model/gguf.h"

namespace tandem::memory {

/// The tensors of a mapped model file: in place for the CPU, copied for an accelerator.
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
  /// The one float of tensor `name`, for whoever needs the value itself; counts nowhere.
  [[nodiscard]] float number(std::string_view name) const;

  /// Tensor `name`, of a float type, stored as `type` in a piece of `arena`, with all processors; the file's
  /// copy is not needed any more and leaves memory.  Throws as `matrix` does.
  device::Matrix quantised(std::string_view name, model::TensorType type, Arena& arena);

  /// As the three above, in pieces of `arena` on the device of `accelerator`, which outlives the store; what
  /// `matrix_on` and `vector_on` return is filled by `load`.
  device::Matrix matrix_on(device::Accelerator& accelerator, std::string_view name, Arena& arena);
  const float* vector_on(device::Accelerator& accelerator, std::string_view name, Arena& arena);
  device::Matrix quantised_on(device::Accelerator& accelerator, std::string_view name, model::TensorType type,
                              Arena& arena);

  /// Bytes of tensor `name` in the file.  Throws BadModel if it is absent.
  [[nodiscard]] std::uint64_t size_bytes(std::string_view name) const;

  /// Copies to accelerators what is to lie there, whose file pages then leave memory, and reads the other
  /// tensors of the text model from disk, so that serving does not wait for them.  Those of vision and audio
  /// stay there: no unit reads them and no plan counts them.  Throws Error if that fails.
  void load(const Progress& progress);

  /// What `load` reads.
  [[nodiscard]] std::uint64_t text_bytes() const;

 private:
  /// A tensor on its way to an accelerator.
  struct Upload {
    device::Accelerator* accelerator = nullptr;
    const model::TensorInfo* tensor = nullptr;
    std::byte* to = nullptr;
    bool is_matrix = false;
  };

  [[nodiscard]] std::span<const std::byte> data(const model::TensorInfo& tensor) const;
  [[nodiscard]] const model::TensorInfo& tensor(std::string_view name) const;
  [[nodiscard]] const model::TensorInfo& quantisable(std::string_view name, model::TensorType type) const;
  [[nodiscard]] bool is_needed(const model::TensorInfo& tensor) const;
  void let_go(const model::TensorInfo& tensor);
  void run(const Upload& upload) const;

  model::Header header_;
  std::vector<Upload> uploads_;  ///< to do
  std::set<std::string, std::less<>>
      released_;  ///< tensors that lie elsewhere or were stored in another type
};

}  // namespace tandem::memory
