#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::memory {

/// Brings the pages under `bytes` into memory; those of a file are read from disk.  Returns false if the
/// system has no memory for them.
bool populate_for_reading(std::span<const std::byte> bytes) noexcept;
bool populate_for_writing(std::span<std::byte> bytes) noexcept;

/// Lets the system take the pages under `bytes` of a mapped file away; they are read again if needed.
void release(std::span<const std::byte> bytes) noexcept;

}  // namespace tandem::memory
