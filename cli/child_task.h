#pragma once

#include <string>
#include <vector>

namespace tandem::cli {

/// Runs the tandemd beside this program with `flags` until it ends, and returns what it wrote to stdout; its
/// stderr is this program's.  It ends with this process however that ends.  Throws Error if it fails.
std::string run_tandemd(const std::vector<std::string>& flags);

}  // namespace tandem::cli
