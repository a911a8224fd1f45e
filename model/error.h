#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace tandem {

/// Root of what Tandem throws at its edges: `what()` says what happened and where, `hint()` what to do about
/// it (may be empty).  Hot paths throw nothing.
class Error : public std::runtime_error {
 public:
  explicit Error(const std::string& what, std::string hint = {})
      : std::runtime_error(what), hint_(std::move(hint)) {}

  [[nodiscard]] const std::string& hint() const noexcept { return hint_; }

 private:
  std::string hint_;
};

}  // namespace tandem

namespace tandem::model {

/// The file is damaged or breaks a limit of the format (exit code 3).
class BadModel : public Error {
 public:
  /// `offset_bytes` is where in `file` the trouble was found, `field` which value it is.
  BadModel(const std::string& file, std::uint64_t offset_bytes, const std::string& field,
           const std::string& problem, std::string hint = {})
      : Error(file + ": byte " + std::to_string(offset_bytes) + ": " + field + ": " + problem,
              std::move(hint)) {}
};

/// There is no file to open, or none that can be: a folder, a pipe, one of somebody else's (exit code 1, as
/// for a name that is wrong).
class UnreadableFile : public Error {
 public:
  using Error::Error;
};

/// A well-formed file that Tandem does not run, such as another architecture (exit code 3).
class UnsupportedModel : public Error {
 public:
  using Error::Error;
};

}  // namespace tandem::model
