#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/metadata.h"
#include "model/tensor_type.h"

namespace tandem::model {

class MappedFile;

/// One entry of the tensor directory.  `dims[0]` is contiguous: a matrix [in, out] computes y[o] = sum
/// W[o][i] x[i].
struct TensorInfo {
  std::string name;
  TensorType type = TensorType::f32;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};
  std::uint32_t n_dims = 1;
  std::uint32_t part = 0;          ///< index into Header::parts
  std::uint64_t offset_bytes = 0;  ///< from the start of that file
  std::uint64_t size_bytes = 0;

  [[nodiscard]] std::uint64_t elems() const noexcept { return dims[0] * dims[1] * dims[2] * dims[3]; }
};

/// A metadata value and where its file holds it.
struct MetaEntry {
  MetaValue value;
  std::uint64_t offset_bytes = 0;
};

/// One file of a model; a model that is not split has one.
struct ModelPart {
  std::filesystem::path path;              ///< empty for a catalogue entry
  std::span<const std::byte> bytes;        ///< the file, mapped; its tensor data may be missing or cut off
  std::shared_ptr<const MappedFile> file;  ///< null where `bytes` are in memory anyway
};

/// Everything in a GGUF before tensor data, of all parts of a split model together.  Copies share what the
/// views point to.  Made by read_header and parse_header only.
struct Header {
  std::string name;  ///< file path or "catalogue:NAME", for messages
  std::map<std::string_view, MetaEntry, std::less<>> metadata;  ///< of the first part
  std::vector<TensorInfo> tensors;                              ///< in file order
  std::vector<std::uint32_t> tensors_by_name;                   ///< indices of `tensors`, sorted by name
  std::vector<ModelPart> parts;
  std::uint64_t tensor_bytes = 0;       ///< sum over `tensors`, padding not counted
  std::uint64_t missing_bytes = 0;      ///< of tensor data beyond the end of the files: 0 if loadable
  std::shared_ptr<const void> storage;  ///< keeps what the views point to

  [[nodiscard]] const TensorInfo* find_tensor(std::string_view tensor_name) const noexcept;
  [[nodiscard]] const MetaEntry* find(std::string_view key) const noexcept;

  /// Typed look-ups: nothing if the key is absent; BadModel (file, offset, key) if its value is of another
  /// kind.  Any integer width will do where an integer is asked for, any number where a number is.
  [[nodiscard]] std::optional<std::uint64_t> find_uint(std::string_view key) const;
  [[nodiscard]] std::optional<double> find_number(std::string_view key) const;
  [[nodiscard]] std::optional<bool> find_bool(std::string_view key) const;
  [[nodiscard]] std::optional<std::string_view> find_string(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::string_view>> find_strings(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<std::int64_t>> find_integers(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<double>> find_numbers(std::string_view key) const;
  [[nodiscard]] std::optional<std::vector<bool>> find_booleans(std::string_view key) const;

  /// The file that holds the tensor, for messages; `name` where a header is no file's.
  [[nodiscard]] std::string file_of(const TensorInfo& tensor) const;

  /// True if all of the tensor's data is in its file.
  [[nodiscard]] bool has_data(const TensorInfo& tensor) const noexcept;

  /// The tensor's data in the mapped file; throws BadModel if the file ends before it does.
  [[nodiscard]] std::span<const std::byte> data(const TensorInfo& tensor) const;

  /// Copies the tensor's data from its byte `at` on to `to`, which is no longer, without touching pages of
  /// the mapped file.  Throws Error if the file cannot be read or was cut off meanwhile.  Any thread may
  /// read.
  void read(const TensorInfo& tensor, std::uint64_t at, std::span<std::byte> to) const;

  /// Throws Error where one of the files was written to since its header was read.
  void check_unchanged() const;
};

/// Reads the header of `path` and, for part 1 of a split model, of the parts beside it.  Checks every limit
/// of model-spec 4.1 before any allocation.  Tensor data may be missing (`missing_bytes`); a later part's own
/// header may not.  Throws BadModel (file, offset, field, limit), UnsupportedModel and Error (cannot open).
Header read_header(const std::filesystem::path& path);

/// The same for one file in memory, called `name` in messages; `storage` keeps `bytes` alive.
Header parse_header(std::string name, std::span<const std::byte> bytes, std::shared_ptr<const void> storage);

}  // namespace tandem::model
