#pragma once

#include <cstdint>
#include <optional>

namespace tandem::cuda {

/// Free memory of GPU `number` by the driver's management library, which, other than the runtime, needs no
/// context on it; nothing if there is no such library.
std::optional<std::uint64_t> free_bytes_without_context(int number);

}  // namespace tandem::cuda
