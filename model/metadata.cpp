#include "model/metadata.h"

#include <concepts>
#include <limits>

#include "model/byte_reader.h"

namespace tandem::model {
namespace {

/// Decodes elements of stored type T, each through `convert`.
template <typename T, typename Out>
void widen(std::span<const std::byte> bytes, std::vector<Out>& out) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    out.push_back(static_cast<Out>(load_le<T>(bytes.data() + at)));
  }
}

/// Appends integers of any stored type; false if `element` is none.
template <typename Out>
bool widen_integers(MetaType element, std::span<const std::byte> bytes, std::vector<Out>& out) {
  switch (element) {
    case MetaType::u8:
      return widen<std::uint8_t>(bytes, out), true;
    case MetaType::i8:
      return widen<std::int8_t>(bytes, out), true;
    case MetaType::u16:
      return widen<std::uint16_t>(bytes, out), true;
    case MetaType::i16:
      return widen<std::int16_t>(bytes, out), true;
    case MetaType::u32:
      return widen<std::uint32_t>(bytes, out), true;
    case MetaType::i32:
      return widen<std::int32_t>(bytes, out), true;
    case MetaType::u64:
      return widen<std::uint64_t>(bytes, out), true;
    case MetaType::i64:
      return widen<std::int64_t>(bytes, out), true;
    default:
      return false;
  }
}

bool exceeds_int64(std::span<const std::byte> bytes) {
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(std::uint64_t)) {
    if (load_le<std::uint64_t>(bytes.data() + at) > std::numeric_limits<std::int64_t>::max()) return true;
  }
  return false;
}

}  // namespace

std::uint32_t meta_type_bytes(MetaType type) noexcept {
  switch (type) {
    case MetaType::u8:
    case MetaType::i8:
    case MetaType::boolean:
      return 1;
    case MetaType::u16:
    case MetaType::i16:
      return 2;
    case MetaType::u32:
    case MetaType::i32:
    case MetaType::f32:
      return 4;
    case MetaType::u64:
    case MetaType::i64:
    case MetaType::f64:
      return 8;
    case MetaType::string:
    case MetaType::array:
      break;
  }
  return 0;
}

std::string_view meta_type_name(MetaType type) noexcept {
  switch (type) {
    case MetaType::u8:
      return "u8";
    case MetaType::i8:
      return "i8";
    case MetaType::u16:
      return "u16";
    case MetaType::i16:
      return "i16";
    case MetaType::u32:
      return "u32";
    case MetaType::i32:
      return "i32";
    case MetaType::f32:
      return "f32";
    case MetaType::boolean:
      return "bool";
    case MetaType::string:
      return "string";
    case MetaType::array:
      return "array";
    case MetaType::u64:
      return "u64";
    case MetaType::i64:
      return "i64";
    case MetaType::f64:
      return "f64";
  }
  return "unknown";
}

std::optional<std::vector<std::string_view>> MetaArray::strings() const {
  if (element_ != MetaType::string) return std::nullopt;
  std::vector<std::string_view> out;
  out.reserve(count_);
  const auto* at = bytes_.data();
  for (std::uint64_t i = 0; i < count_; ++i) {
    const auto size_bytes = load_le<std::uint64_t>(at);
    at += sizeof(std::uint64_t);
    out.emplace_back(reinterpret_cast<const char*>(at), size_bytes);
    at += size_bytes;
  }
  return out;
}

std::optional<std::vector<bool>> MetaArray::booleans() const {
  if (element_ != MetaType::boolean) return std::nullopt;
  std::vector<bool> out;
  out.reserve(count_);
  for (const auto byte : bytes_) out.push_back(byte != std::byte{0});
  return out;
}

std::optional<std::vector<std::int64_t>> MetaArray::integers() const {
  if (element_ == MetaType::u64 && exceeds_int64(bytes_)) return std::nullopt;
  std::vector<std::int64_t> out;
  out.reserve(element_ == MetaType::string ? 0 : count_);
  if (!widen_integers(element_, bytes_, out)) return std::nullopt;
  return out;
}

std::optional<std::vector<double>> MetaArray::numbers() const {
  std::vector<double> out;
  out.reserve(element_ == MetaType::string ? 0 : count_);
  if (element_ == MetaType::f32) {
    widen<float>(bytes_, out);
  } else if (element_ == MetaType::f64) {
    widen<double>(bytes_, out);
  } else if (!widen_integers(element_, bytes_, out)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace tandem::model
