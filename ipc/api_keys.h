#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::ipc {

/// 1 to 64 letters, digits, '.', '_' or '-': what an owner or a client may be called.
bool is_label(std::string_view text);

/// Keys that open the TCP port, each with the label of its owner.  Only their SHA-256 is kept.
class ApiKeys {
 public:
  /// Reads lines "LABEL KEY"; blank lines and those that begin with '#' mean nothing.  A label may have
  /// several keys, a key has 16 to 256 printable ASCII characters without spaces.  The file must be a regular
  /// one of this user or root that nobody else may read.  Throws BadListen naming file and line, never a key.
  static ApiKeys read(const std::string& path);

  /// The label of `key`'s owner.  Takes the same time whichever key it is, and if it is none.
  [[nodiscard]] std::optional<std::string> owner_of(std::string_view key) const;

 private:
  using Digest = std::array<std::uint8_t, 32>;
  struct Entry {
    std::string label;
    Digest digest;
  };

  static Digest digest_of(std::string_view key);

  std::vector<Entry> entries_;
};

}  // namespace tandem::ipc
