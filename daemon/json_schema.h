#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace tandem::daemon {

/// What a schema does not accept.
struct Refusal {
  std::vector<std::string> path;  ///< keys and indices that lead to it; empty: the whole
  std::string reason;
};

/// A JSON Schema (draft 7) as valijson understands it.
class JsonSchema {
 public:
  /// Throws std::runtime_error if `schema` is none.
  explicit JsonSchema(const nlohmann::json& schema);
  ~JsonSchema();
  JsonSchema(JsonSchema&&) noexcept;
  JsonSchema& operator=(JsonSchema&&) noexcept;

  [[nodiscard]] bool accepts(const nlohmann::json& value) const;

  /// The part of `value` that is wrong; nothing if all of it is accepted.
  [[nodiscard]] std::optional<Refusal> refusal(const nlohmann::json& value) const;

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace tandem::daemon
