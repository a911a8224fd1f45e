#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::repo_test {

/// The room a file is in, by its path from the repository root: the longest folder that has a rule
/// ("daemon/scheduler"), or "backends/device.h", which is a room of its own.  Empty if there is none.
std::string room_of(std::string_view path);

/// What is wrong with the includes of `source`, which is the file `path`; a line each, empty if all is well.
///  - every quoted include names a room that its own may use (design.md's arrows);
///  - backends include no Boost, JSON or logging header, but for the emulated device, and device.h nothing
///  but
///    the standard library.
std::vector<std::string> include_errors(std::string_view path, std::string_view source);

/// Every source file of the product and its tests under `root`, by its path from there.
std::vector<std::filesystem::path> source_files(const std::filesystem::path& root);

}  // namespace tandem::repo_test
