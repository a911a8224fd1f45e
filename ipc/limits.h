#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace tandem::ipc {

/// There is room for so many from the start, in every stream.
inline constexpr std::size_t kMostQueuedEvents = 64;

/// What one client may ask for.  A request over a limit is refused with a 4xx answer that names the limit by
/// its member name here, which is also its key in the config.
struct Limits {
  std::size_t body_bytes = std::size_t{8} << 20;
  std::size_t header_bytes = std::size_t{16} << 10;  ///< request line and all header fields
  std::size_t json_depth = 64;                       ///< nested arrays and objects in a body
  std::size_t prompts = 64;                          ///< in one completion request
  std::size_t prompt_tok = std::size_t{1} << 20;     ///< a prompt; the model's context is a limit of its own
  std::size_t stop_strings = 16;
  std::size_t stop_bytes = 256;  ///< a stop string
  std::size_t connections = 256;
  /// Of one sequence that its client has not read, then the sequence pauses; up to kMostQueuedEvents.
  std::size_t queued_events = kMostQueuedEvents;

  std::chrono::milliseconds idle_timeout{300'000};   ///< between requests of one connection
  std::chrono::milliseconds header_timeout{10'000};  ///< from a request's first byte to its empty line
  std::chrono::milliseconds body_timeout{60'000};    ///< from there to the body's last byte
  std::chrono::milliseconds stall_timeout{300'000};  ///< without a byte of the answer being read
};

/// How deep the arguments of a call may nest, themselves counted as 1, so that the client's next request can
/// send the call back: in Ollama's dialect, where they stand deepest, six levels of the body are around them.
constexpr std::size_t call_depth(const Limits& limits) noexcept {
  constexpr std::size_t kAround = 6;
  return limits.json_depth > kAround ? limits.json_depth - kAround : 0;
}

}  // namespace tandem::ipc
