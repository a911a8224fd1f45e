#pragma once

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "model/error.h"
#include "planner/names.h"

namespace tandem::planner {

/// A value that is missing, of the wrong type or out of range; the message begins with its key's path.
class BadField : public Error {
 public:
  BadField(const std::string& path, const std::string& problem) : Error(path + ": " + problem) {}
};

/// `key` within the object at `path`: "layers[3].kv_bytes".
std::string key_path(std::string_view path, std::string_view key);

/// Parses text that is one JSON value and nothing else; throws BadField with line and column.
nlohmann::json parse_json(std::string_view text);

/// Reads one JSON object key by key.  A key that is read must be there; `has` asks first.  `finish` refuses
/// keys that nobody asked for.
class ObjectReader {
 public:
  /// `path` names the object in messages; empty for the whole document.
  ObjectReader(const nlohmann::json& value, std::string path);

  [[nodiscard]] bool has(std::string_view key);
  const nlohmann::json& at(std::string_view key);
  std::uint64_t uint(std::string_view key, std::uint64_t min = 0,
                     std::uint64_t max = std::numeric_limits<std::uint64_t>::max());
  std::uint32_t uint32(std::string_view key, std::uint32_t min = 0,
                       std::uint32_t max = std::numeric_limits<std::uint32_t>::max());
  double number(std::string_view key, double min, double max);
  bool boolean(std::string_view key);
  std::string text(std::string_view key);
  ObjectReader object(std::string_view key);
  const nlohmann::json& array(std::string_view key);

  /// A value of an enumeration by its name (planner/names.h).
  template <typename Names>
  auto choice(std::string_view key, const Names& names) {
    const auto name = text(key);
    const auto value = value_of(names, name);
    if (!value) fail(key, "unknown value \"" + name + "\"");
    return *value;
  }

  [[nodiscard]] std::string path_of(std::string_view key) const { return key_path(path_, key); }
  [[noreturn]] void fail(std::string_view key, const std::string& problem) const;

  /// Throws if the object has keys that were not read.
  void finish() const;

 private:
  const nlohmann::json* value_;
  std::string path_;
  std::set<std::string, std::less<>> read_;
};

}  // namespace tandem::planner
