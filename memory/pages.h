#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::memory {

/// Brings the pages under `bytes` into memory; those of a file are read from disk.  Returns false if the
/// system has no memory for them.
bool populate_for_reading(std::span<const std::byte> bytes) noexcept;
bool populate_for_writing(std::span<std::byte> bytes) noexcept;

/// Has storage begin to read the pages under `bytes` of a mapped file; returns before they are there.
void begin_reading(std::span<const std::byte> bytes) noexcept;

/// Takes the pages under `bytes` of a mapped file out of this process; they come back if needed, those that
/// others' bytes begin or end in too.
void release(std::span<const std::byte> bytes) noexcept;

}  // namespace tandem::memory
