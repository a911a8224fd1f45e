#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "model/tool_call_text.h"

namespace tandem::model {

/// What the user is to read.
struct ContentDelta {
  std::string text;
  bool operator==(const ContentDelta&) const = default;
};

/// What the model thought.
struct ReasoningDelta {
  std::string text;
  bool operator==(const ReasoningDelta&) const = default;
};

using AnswerEvent = std::variant<ContentDelta, ReasoningDelta, ToolCall>;

/// Tokens of Gemma 4's format that mean something in an answer.
enum class Marker {
  thought_begin,  ///< <|channel>
  thought_end,    ///< <channel|>
  call_begin,     ///< <|tool_call>
  call_end,       ///< <tool_call|>
  quote           ///< <|"|>
};

inline constexpr Marker kMarkers[] = {Marker::thought_begin, Marker::thought_end, Marker::call_begin,
                                      Marker::call_end, Marker::quote};

std::string_view text_of(Marker marker) noexcept;

/// How the prompt has begun the answer already.
struct AnswerStart {
  bool in_thought = false;          ///< it has opened the thought channel
  std::optional<std::string> call;  ///< it has opened a call; this much of it follows <|tool_call>

  bool operator==(const AnswerStart&) const = default;
};

/// Takes an answer apart: <|channel>thought\n...<channel|> is reasoning,
/// <|tool_call>call:NAME{...}<tool_call|> a call, everything else content.  Markup that leads nowhere (a
/// malformed or unfinished call or one that no request could send back, a marker out of place) is content, in
/// its own words: nothing is lost.  How the text is cut into pieces does not matter, but each piece is whole
/// characters.  A call of more than kMostCallBytes is an Error.
class AnswerParser {
 public:
  /// `call_depth`: as read_tool_call takes it.
  explicit AnswerParser(const AnswerStart& start, std::size_t call_depth = kCallDepth);

  void text(std::string_view piece);
  void marker(Marker marker);
  /// The answer is over.
  void finish();

  /// What has come out since the last `clear`; adjacent deltas of a kind are one.  May be moved from.
  [[nodiscard]] std::span<AnswerEvent> events() noexcept { return events_; }
  /// Forgets these events, and keeps their memory for the next ones.
  void clear();

  [[nodiscard]] bool in_content() const noexcept { return state_ == State::content; }
  /// After a thought's name, before its end.
  [[nodiscard]] bool in_thought() const noexcept { return state_ == State::thought; }

 private:
  enum class State {
    content,
    thought_name,  ///< after <|channel>, before the end of its first line
    thought,
    call
  };

  template <class Delta>
  void emit(std::string_view text);
  void emit_content(std::string_view text);
  void emit_reasoning(std::string_view text);
  void marker_in_content(Marker marker);
  void marker_in_thought_name(Marker marker);
  void marker_in_thought(Marker marker);
  void marker_in_call(Marker marker);
  void name_thought();
  void think(std::string_view piece);
  void begin_call();
  void add_to_call(std::string_view text);
  void end_call();
  void give_up_markup();

  ToolCallReader calls_;
  State state_;
  bool newline_held_ = false;        ///< of a thought: the one before <channel|> is markup
  std::string pending_;              ///< text of a thought's name or of a call
  std::vector<std::size_t> quotes_;  ///< where quote marks are in pending_
  std::vector<AnswerEvent> events_;
  std::string spare_text_;                       ///< empty; memory for the next delta
  ToolCall spare_call_ = tool_call_with_room();  ///< memory for the next call, or for a text that is none
};

}  // namespace tandem::model
