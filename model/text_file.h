#pragma once

#include <filesystem>
#include <string>

namespace tandem::model {

/// All of a file, or of what a pipe gives until its end, as `<(COMMAND)` of a shell makes one.  Throws Error
/// with the path and the system's reason, also for a folder, which can be opened but not read, and for a pipe
/// that nobody has opened to write: somebody might, but need not.
std::string read_text_file(const std::filesystem::path& path);

/// What is left of standard input.  Throws Error.
std::string read_standard_input();

}  // namespace tandem::model
