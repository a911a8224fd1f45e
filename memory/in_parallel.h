#pragma once

#include <cstddef>
#include <functional>

namespace tandem::memory {

/// Calls work(i) once for every i < n on `threads` threads, each of which takes the next i when it is free,
/// and afterwards done(i) on the calling thread, in no particular order; returns when all is done.  What one
/// of them throws ends the others early, and is thrown here.
void in_parallel(unsigned threads, std::size_t n, const std::function<void(std::size_t)>& work,
                 const std::function<void(std::size_t)>& done);

}  // namespace tandem::memory
