#pragma once

#include <memory>
#include <string>

#include <nlohmann/json.hpp>

namespace tandem::test_support {

/// A JSON Schema (draft 7) as valijson understands it: the opinion that is independent of Tandem's own
/// grammars and writers.
class SchemaCheck {
 public:
  /// Throws std::runtime_error if `schema` is none.
  explicit SchemaCheck(const nlohmann::json& schema);
  ~SchemaCheck();
  SchemaCheck(const SchemaCheck&) = delete;
  SchemaCheck& operator=(const SchemaCheck&) = delete;

  /// The schema in the file config/NAME.
  static SchemaCheck of_config(const std::string& name);

  [[nodiscard]] bool accepts(const nlohmann::json& value) const;

 private:
  struct Compiled;
  std::unique_ptr<const Compiled> compiled_;
};

}  // namespace tandem::test_support
