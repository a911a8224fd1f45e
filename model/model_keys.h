#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tandem::model {

/// Inclusive limits of a value from a file.
template <typename T>
struct Range {
  T least;
  T most;
};

/// As short as it can be: 1e-12 and not 0.000000.
std::string number_text(double number);

/// Look-ups of the metadata under one architecture's prefix, with ranges.  Every failure is a BadModel that
/// names the file, the key's offset, the key and the limit.
class ModelKeys {
 public:
  ModelKeys(const Header& header, std::string prefix) : header_(&header), prefix_(std::move(prefix)) {}

  /// "gemma4.block_count" for "block_count".
  [[nodiscard]] std::string key(std::string_view stem) const { return prefix_ + "." + std::string(stem); }
  [[nodiscard]] bool contains(std::string_view stem) const { return header_->find(key(stem)) != nullptr; }

  [[nodiscard]] std::optional<std::uint32_t> find_uint(std::string_view stem,
                                                       Range<std::uint32_t> range) const;
  [[nodiscard]] std::uint32_t uint(std::string_view stem, Range<std::uint32_t> range) const;
  [[nodiscard]] std::optional<double> find_number(std::string_view stem, Range<double> range) const;
  [[nodiscard]] std::optional<std::string_view> find_string(std::string_view stem) const;

  /// A value for each of `layers` layers, from an array of that many or from a single value for all.
  [[nodiscard]] std::vector<std::uint32_t> per_layer_uint(std::string_view stem, std::uint32_t layers,
                                                          Range<std::uint32_t> range) const;

  /// True for each sliding layer: from a bool array, or from a period p (every p-th layer is global).
  /// Nothing if the key is absent.
  [[nodiscard]] std::optional<std::vector<bool>> find_sliding_pattern(std::string_view stem,
                                                                      std::uint32_t layers) const;

  [[noreturn]] void fail(std::string_view stem, const std::string& problem) const;

 private:
  [[nodiscard]] bool is_array(std::string_view stem) const;

  const Header* header_;
  std::string prefix_;
};

}  // namespace tandem::model
