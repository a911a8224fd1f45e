#include "model/model_keys.h"

#include <array>
#include <charconv>

#include "model/error.h"

namespace tandem::model {
namespace {

template <typename T>
std::string limits_text(Range<T> range) {
  return "limits are " + number_text(range.least) + " and " + number_text(range.most);
}

}  // namespace

std::string number_text(double number) {
  std::array<char, 32> text{};
  return {text.data(), std::to_chars(text.data(), text.data() + text.size(), number).ptr};
}

std::optional<std::uint32_t> ModelKeys::find_uint(std::string_view stem, Range<std::uint32_t> range) const {
  const auto value = header_->find_uint(key(stem));
  if (!value) return std::nullopt;
  if (*value < range.least || *value > range.most)
    fail(stem, std::to_string(*value) + ", " + limits_text(range));
  return static_cast<std::uint32_t>(*value);
}

std::uint32_t ModelKeys::uint(std::string_view stem, Range<std::uint32_t> range) const {
  const auto value = find_uint(stem, range);
  if (!value) fail(stem, "missing");
  return *value;
}

std::optional<double> ModelKeys::find_number(std::string_view stem, Range<double> range) const {
  const auto value = header_->find_number(key(stem));
  // Written so that NaN fails.
  if (value && !(*value >= range.least && *value <= range.most)) {
    fail(stem, number_text(*value) + ", " + limits_text(range));
  }
  return value;
}

std::optional<std::string_view> ModelKeys::find_string(std::string_view stem) const {
  return header_->find_string(key(stem));
}

std::vector<std::uint32_t> ModelKeys::per_layer_uint(std::string_view stem, std::uint32_t layers,
                                                     Range<std::uint32_t> range) const {
  if (!is_array(stem)) return std::vector(layers, uint(stem, range));
  const auto values = *header_->find_integers(key(stem));
  if (values.size() != layers) {
    fail(stem, "array of " + std::to_string(values.size()) + " for " + std::to_string(layers) + " layers");
  }
  std::vector<std::uint32_t> checked;
  checked.reserve(layers);
  for (const auto value : values) {
    if (value < range.least || value > range.most)
      fail(stem, std::to_string(value) + ", " + limits_text(range));
    checked.push_back(static_cast<std::uint32_t>(value));
  }
  return checked;
}

std::optional<std::vector<bool>> ModelKeys::find_sliding_pattern(std::string_view stem,
                                                                 std::uint32_t layers) const {
  if (!contains(stem)) return std::nullopt;
  if (!is_array(stem)) {
    const auto period = uint(stem, {1, layers + 1});
    std::vector<bool> sliding(layers);
    for (std::uint32_t i = 0; i < layers; ++i) sliding[i] = (i + 1) % period != 0;
    return sliding;
  }
  auto sliding = *header_->find_booleans(key(stem));
  if (sliding.size() != layers) {
    fail(stem, "array of " + std::to_string(sliding.size()) + " for " + std::to_string(layers) + " layers");
  }
  return sliding;
}

void ModelKeys::fail(std::string_view stem, const std::string& problem) const {
  const auto* entry = header_->find(key(stem));
  throw BadModel(header_->name, entry == nullptr ? 0 : entry->offset_bytes, key(stem), problem);
}

bool ModelKeys::is_array(std::string_view stem) const {
  const auto* entry = header_->find(key(stem));
  return entry != nullptr && std::holds_alternative<MetaArray>(entry->value);
}

}  // namespace tandem::model
