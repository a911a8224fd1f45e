#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/metadata.h"
#include "model/tensor_type.h"

namespace tandem::model {

/// Builds the header of a GGUF v3 file in memory.  Tensors follow each other in the order they are added,
/// each padded to 32 bytes.  The caller keeps names and keys unique.
class GgufWriter {
 public:
  void add_uint(std::string_view key, std::uint32_t value);
  void add_float(std::string_view key, float value);
  void add_bool(std::string_view key, bool value);
  void add_string(std::string_view key, std::string_view value);
  void add_ints(std::string_view key, std::span<const std::int32_t> values);
  void add_floats(std::string_view key, std::span<const float> values);
  void add_bools(std::string_view key, const std::vector<bool>& values);
  void add_strings(std::string_view key, std::span<const std::string> values);

  /// `dims[0]` is contiguous.  Throws Error if rows are not whole blocks of `type` or a size overflows.
  void add_tensor(std::string_view name, TensorType type, std::span<const std::uint64_t> dims);

  /// The header, padded to where tensor data starts.
  [[nodiscard]] std::string header() const;

 private:
  void begin_pair(std::string_view key, MetaType type);
  void begin_array(std::string_view key, MetaType element, std::uint64_t count);

  std::string pairs_;
  std::string directory_;
  std::uint64_t pair_count_ = 0;
  std::uint64_t tensor_count_ = 0;
  std::uint64_t data_bytes_ = 0;  ///< of the tensors so far, padding included
};

}  // namespace tandem::model
