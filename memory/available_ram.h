#pragma once

#include <cstdint>
#include <filesystem>

namespace tandem::memory {

/// Bytes of RAM that this process can still get: the kernel's MemAvailable, or what the process's control
/// groups leave if that is less.  A group (version 2 or 1, and every group above it) leaves its limit less
/// its usage; version 2's memory.high is one too, as a process beyond it is slowed down until it hardly runs.
/// Pages of files do not count as used, as in MemAvailable, for they can be dropped: those of a model that
/// was served before are among them.
/// `root` stands for "/", for tests.  Throws Error if /proc/meminfo cannot be read; what cannot be read of
/// control groups sets no limit.
std::uint64_t available_ram_bytes(const std::filesystem::path& root = "/");

}  // namespace tandem::memory
