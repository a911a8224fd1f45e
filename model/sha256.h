#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace tandem::model {

/// SHA-256 of `bytes` in lower-case hex.
std::string sha256_hex(std::span<const std::byte> bytes);

}  // namespace tandem::model
