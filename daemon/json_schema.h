#pragma once

#include <memory>
#include <optional>
#include <string>

#include <nlohmann/json.hpp>

namespace tandem::daemon {

/// A JSON Schema (draft 7) as valijson understands it.
class JsonSchema {
 public:
  /// Throws std::runtime_error if `schema` is none.
  explicit JsonSchema(const nlohmann::json& schema);
  ~JsonSchema();
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;

  [[nodiscard]] bool accepts(const nlohmann::json& value) const;

  /// What is wrong with `value`, and where; nothing if it is accepted.
  [[nodiscard]] std::optional<std::string> refusal(const nlohmann::json& value) const;

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace tandem::daemon
