#pragma once

#include <filesystem>

namespace tandem::cpu {

/// How many CPUs the process's control groups let it keep busy: the least quota / period of version 2
/// (cpu.max) and version 1 (cpu.cfs_quota_us), and of every group above, rounded up; UINT_MAX where none is
/// set or can be read.  `root` stands for "/", for tests.
unsigned cpu_quota(const std::filesystem::path& root = "/");

}  // namespace tandem::cpu
