#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace tandem::memory {

/// Brings the pages under `bytes` into memory; those of a file are read from disk.  Returns false if the
/// system has no memory for them.
bool populate_for_reading(std::span<const std::byte> bytes) noexcept;
bool populate_for_writing(std::span<std::byte> bytes) noexcept;

/// What large memory is best mapped in: fewer addresses to translate, and fewer faults when it is touched.
inline constexpr std::uint64_t kHugePageBytes = std::uint64_t{2} << 20;

/// Asks for them under `bytes`; the system may be set not to give any.
void want_huge_pages(std::span<std::byte> bytes) noexcept;

/// Has small pages under `bytes`, also those of a mapped file, and none of them brought in by a neighbour's;
/// pages that others' bytes begin or end in are left as they are.
void want_small_pages(std::span<const std::byte> bytes) noexcept;

/// Whether the page cache has all that lies under `bytes` of a mapped file.  The kernel says so too of files
/// that this process could not write.
bool is_cached(std::span<const std::byte> bytes) noexcept;

/// Takes the pages under `bytes` of a mapped file out of this process; they come back if needed, those that
/// others' bytes begin or end in too.
void release(std::span<const std::byte> bytes) noexcept;

}  // namespace tandem::memory
