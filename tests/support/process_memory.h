#pragma once

// What the kernel says of this process's memory.

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace tandem::test_support {

/// A line of /proc/self/status that counts kB, such as "RssAnon".
inline std::uint64_t status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.starts_with(key + ":")) return std::stoull(line.substr(key.size() + 1)) * 1024;
  }
  throw std::runtime_error("/proc/self/status: no " + key);
}

/// From now on "VmHWM" is the most that was resident since.
inline void reset_peak() {
  std::ofstream file("/proc/self/clear_refs");
  file << "5" << std::flush;
  if (!file) throw std::runtime_error("/proc/self/clear_refs cannot be written");
}

/// Pages of `path`, which is mapped, that are this process's now.
inline std::uint64_t mapped_resident_bytes(const std::filesystem::path& path) {
  std::ifstream maps("/proc/self/smaps");
  std::uint64_t bytes = 0;
  bool found = false;
  bool of_file = false;
  for (std::string line; std::getline(maps, line);) {
    const auto first_word = line.substr(0, line.find(' '));
    if (first_word.find('-') != std::string::npos) of_file = line.ends_with(path.string());
    if (!of_file || first_word != "Rss:") continue;
    bytes += std::stoull(line.substr(4)) * 1024;
    found = true;
  }
  if (!found) throw std::runtime_error(path.string() + " is not mapped");
  return bytes;
}

}  // namespace tandem::test_support
