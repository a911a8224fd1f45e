#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/tensor_type.h"

namespace tandem::model {

/// A metadata array.  Every integer and float width of GGUF is widened; strings stay in the mapped file.
using MetaArray = std::variant<std::vector<std::uint64_t>, std::vector<std::int64_t>, std::vector<double>,
                               std::vector<bool>, std::vector<std::string_view>>;
using MetaValue = std::variant<std::uint64_t, std::int64_t, double, bool, std::string_view, MetaArray>;

/// One entry of the tensor directory.  `dims[0]` is contiguous: a matrix [in, out] computes y[o] = sum
/// W[o][i] x[i].
struct TensorInfo {
  std::string name;
  TensorType type = TensorType::f32;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};
  std::uint32_t n_dims = 1;
  std::uint32_t part = 0;          ///< which file of a split model
  std::uint64_t offset_bytes = 0;  ///< from the start of that file
  std::uint64_t size_bytes = 0;

  [[nodiscard]] std::uint64_t elems() const noexcept { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

/// Everything in a GGUF before tensor data, of all parts of a split model together.
/// Views point into storage the header owns (a mapped file, or bytes made by the catalogue).
struct Header {
  std::string name;  ///< file path or "catalogue:NAME", for messages
  std::map<std::string_view, MetaValue, std::less<>> metadata;
  std::vector<TensorInfo> tensors;
  std::vector<std::filesystem::path> parts;    ///< empty for a catalogue entry
  std::vector<std::uint64_t> part_size_bytes;  ///< actual sizes of `parts`
  std::uint64_t tensor_bytes = 0;              ///< sum over tensors, padding not counted
  std::uint64_t missing_bytes = 0;             ///< of tensor data beyond the end of the files: 0 if loadable
  std::shared_ptr<const void> storage;         ///< keeps what the views point to

  [[nodiscard]] const TensorInfo* find_tensor(std::string_view name) const noexcept;
  [[nodiscard]] const MetaValue* find(std::string_view key) const noexcept;
};

/// Reads the header of `path` and, for part 1 of a split model, of the parts beside it.  Checks every limit
/// of model-spec 4.1 before any allocation; tensor data may be missing (`missing_bytes`), also whole later
/// parts'. Throws BadModel (file, offset, field, limit) and UnsupportedModel.
Header read_header(const std::filesystem::path& path);

/// A read-only mapping of one file.
class MappedFile {
 public:
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace tandem::model
