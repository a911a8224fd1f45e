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

/// The tensors of a mapped model file: in place for the CPU, copied for an accelerator, into another type or
/// into another layout.
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

  /// Tensor `name` as `repacker` puts it into its `to`, which has as many bytes; `load` does it, and takes
  /// the memory there too.  The repacker outlives the store.  Throws as `matrix` does.
  device::Matrix repacked(const device::Repacker& repacker, std::string_view name, std::byte* to);

  /// Tensor `name`, of a float type, stored as `type` in a piece of `arena`, repacked where `repacker` is not
  /// null and takes it; `load` fills it.  Throws as `matrix` does.
  device::Matrix quantised(std::string_view name, model::TensorType type, Arena& arena,
                           const device::Repacker* repacker);

  /// As the three above, in pieces of `arena` on the device of `accelerator`, which outlives the store;
  /// `load` fills them.
  device::Matrix matrix_on(device::Accelerator& accelerator, std::string_view name, Arena& arena);
  const float* vector_on(device::Accelerator& accelerator, std::string_view name, Arena& arena);
  device::Matrix quantised_on(device::Accelerator& accelerator, std::string_view name, model::TensorType type,
                              Arena& arena);

  /// Type and shape of tensor `name`, a matrix, without data.  Throws BadModel if it is absent.
  [[nodiscard]] device::Matrix shape(std::string_view name) const;

  /// Bytes of tensor `name` in the file.  Throws BadModel if it is absent.
  [[nodiscard]] std::uint64_t size_bytes(std::string_view name) const;

  /// Brings all tensors of the text model to where they belong, piece by piece on `threads` threads.  What is
  /// copied, repacked or stored in another type is read past the mapping, so that no page of it is this
  /// process's; the rest is in memory afterwards, so that serving does not wait for it.  Tensors of vision
  /// and audio stay on disk: no unit reads them and no plan counts them.  Rows on their way to another type
  /// on an accelerator wait in `rows`.  Throws Error or std::bad_alloc if that fails, also where a file was
  /// written to meanwhile, and OutOfMemory.
  void load(std::span<std::byte> rows, unsigned threads, const Progress& progress);

  /// What `load` reads.
  [[nodiscard]] std::uint64_t text_bytes() const;

 private:
  /// A tensor that is to lie elsewhere than in the file.
  struct Copy {
    device::Accelerator* accelerator = nullptr;  ///< null on the CPU
    const model::TensorInfo* tensor = nullptr;
    std::byte* to = nullptr;
    model::TensorType type = model::TensorType::f32;  ///< there
    const device::Repacker* repacker = nullptr;       ///< null: row after row

    [[nodiscard]] bool is_quantised() const noexcept { return type != tensor->type; }
  };
  /// Rows of a tensor that are read at once.
  struct Piece {
    const Copy* copy = nullptr;
    std::uint32_t first_row = 0;
    std::uint32_t rows = 0;
    std::uint64_t row_bytes = 0;  ///< in the file

    [[nodiscard]] std::uint64_t bytes() const noexcept { return rows * row_bytes; }
    /// `n` rows of it, from row `first` of it on.
    [[nodiscard]] Piece part(std::uint32_t first, std::uint32_t n) const noexcept {
      return {copy, first_row + first, n, row_bytes};
    }
  };

  [[nodiscard]] std::span<const std::byte> data(const model::TensorInfo& tensor) const;
  [[nodiscard]] const model::TensorInfo& tensor(std::string_view name) const;
  device::Matrix copied(const Copy& copy);
  Copy quantised_copy(device::Accelerator* accelerator, std::string_view name, model::TensorType type,
                      Arena& arena) const;
  [[nodiscard]] bool is_used_in_place(const model::TensorInfo& tensor) const;
  static void add_pieces(const Copy& copy, std::vector<Piece>& pieces);
  static unsigned upload_threads(const std::vector<Piece>& pieces, unsigned threads);
  std::span<const std::byte> read(const Piece& piece, std::vector<std::byte>& memory) const;
  void upload(const Piece& piece) const;
  void upload_quantised(const Piece& piece, std::span<std::byte> rows, unsigned threads) const;
  void convert(const Piece& piece) const;
  void convert_rows(const Piece& piece, std::byte* to) const;
  void bring_into_memory(unsigned threads, const std::function<void(std::uint64_t)>& report) const;

  model::Header header_;
  std::vector<Copy> copies_;
  std::set<std::string, std::less<>> copied_;  ///< their names
};

}  // namespace tandem::memory
