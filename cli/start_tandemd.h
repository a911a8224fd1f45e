#pragma once

#include <string>
#include <sys/types.h>
#include <vector>

namespace tandem::cli {

/// What a child exits with that could not become its program, as a shell says it.
inline constexpr int kCannotStart = 127;

/// Starts the tandemd beside this program with `flags`; it writes to the descriptors `output` and `errors`.
/// It gets SIGTERM when this process ends, however that is.  Throws Error.
pid_t start_tandemd(const std::vector<std::string>& flags, int output, int errors);

}  // namespace tandem::cli
