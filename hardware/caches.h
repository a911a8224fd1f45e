#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

namespace tandem::hardware {

/// Bytes of the data caches that the first CPU of this process sees, by level, 1 first; 0 where there is none
/// or nobody says.  As Linux lists them: what sysconf says of AMD's third level is a whole socket's, many
/// times what one core can reach.  `root` stands for "/", for tests.
std::vector<std::uint64_t> data_cache_bytes(const std::filesystem::path& root = "/");

}  // namespace tandem::hardware
