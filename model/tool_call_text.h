#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::model {

/// A call that the model made.
struct ToolCall {
  std::string name;
  std::string arguments;  ///< text of a JSON object

  bool operator==(const ToolCall&) const = default;
};

/// The most text that a call may have: as much as 262,144 tokens of four bytes.  There is room for it from
/// the start; of so much memory the system gives only what is written to.
inline constexpr std::size_t kMostCallBytes = std::size_t{1} << 20;
/// The most that its arguments can be: JSON writes a byte in six, as \u0001.
inline constexpr std::size_t kRoomForArguments = 6 * kMostCallBytes;

/// An empty call with memory for a name of any length and for kRoomForArguments.
ToolCall tool_call_with_room();

/// What delimits texts in calls, one token.
inline constexpr std::string_view kQuoteMark = "<|\"|>";

/// Arguments nest at most so deep unless told otherwise; an object in which nothing nests counts as 1.
inline constexpr std::size_t kCallDepth = 100;

/// Reads what stands between <|tool_call> and <tool_call|>: call:NAME{key:value,...} (model-spec 5.6).
/// `quotes` are the byte offsets in `text`, ascending, where kQuoteMark is the token and not a spelling of
/// it. Values are quoted texts, JSON numbers (kept digit by digit), true, false, null, maps and lists; None
/// counts as null, which is what older templates show the model.  Keys are bare or quoted; bare ones have
/// none of : , { } [ ] in them, and spaces around them do not count.
///
/// Nothing where the text is anything else, has a key twice in one map, or is what a client could not send
/// back in its next request: a name that is not 1 to 128 letters, digits and _ - . : /, arguments that nest
/// deeper than `max_depth`, a map of more than 1024 members.
std::optional<ToolCall> read_tool_call(std::string_view text, std::span<const std::size_t> quotes,
                                       std::size_t max_depth = kCallDepth);

/// Does the same for one call after another, in memory that it has from the start: nothing is allocated while
/// texts are not longer than kMostCallBytes.
class ToolCallReader {
 public:
  explicit ToolCallReader(std::size_t max_depth);

  /// Makes `call`, which keeps its memory, what `text` says; false where that is no call, and `call` is
  /// anything then.
  bool read(std::string_view text, std::span<const std::size_t> quotes, ToolCall& call);

 private:
  std::size_t max_depth_;
  std::vector<std::string_view> keys_;  ///< of the maps that are open
};

}  // namespace tandem::model
