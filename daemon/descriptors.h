#pragma once

#include <cstddef>

namespace tandem::daemon {

/// Has the system allow as many descriptors as `connections` clients need, where the process may have that
/// many (`ulimit -Hn`); else warns, because further clients would wait without a word.
void allow_descriptors(std::size_t connections);

}  // namespace tandem::daemon
