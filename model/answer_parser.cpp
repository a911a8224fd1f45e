#include "model/answer_parser.h"

#include <string>
#include <utility>

#include "model/error.h"
#include "model/text_room.h"

namespace tandem::model {
namespace {

constexpr std::string_view kThoughtName = "thought\n";

// What a token may give without anything being allocated.
constexpr std::size_t kRoomForEvents = 4;
constexpr std::size_t kRoomForText = 256;

constexpr std::size_t kMostQuotes = kMostCallBytes / kQuoteMark.size();  // in a call

}  // namespace

std::string_view text_of(Marker marker) noexcept {
  switch (marker) {
    case Marker::thought_begin:
      return "<|channel>";
    case Marker::thought_end:
      return "<channel|>";
    case Marker::call_begin:
      return "<|tool_call>";
    case Marker::call_end:
      return "<tool_call|>";
    case Marker::quote:
      return kQuoteMark;
  }
  return "";
}

AnswerParser::AnswerParser(const AnswerStart& start, std::size_t call_depth)
    : calls_(call_depth), state_(start.in_thought ? State::thought : State::content) {
  events_.reserve(kRoomForEvents);
  pending_.reserve(kMostCallBytes);
  quotes_.reserve(kMostQuotes);
  spare_text_.reserve(kRoomForText);
  if (!start.call) return;
  begin_call();
  pending_ = *start.call;
}

void AnswerParser::text(std::string_view piece) {
  if (piece.empty()) return;
  switch (state_) {
    case State::content:
      return emit_content(piece);
    case State::thought_name:
      pending_ += piece;
      return name_thought();
    case State::thought:
      return think(piece);
    case State::call:
      return add_to_call(piece);
  }
}

void AnswerParser::marker(Marker marker) {
  switch (state_) {
    case State::content:
      return marker_in_content(marker);
    case State::thought_name:
      return marker_in_thought_name(marker);
    case State::thought:
      return marker_in_thought(marker);
    case State::call:
      return marker_in_call(marker);
  }
}

void AnswerParser::finish() {
  if (newline_held_) emit_reasoning("\n");
  newline_held_ = false;
  give_up_markup();
}

void AnswerParser::clear() {
  const auto keep = [this](std::string& text) {
    if (text.capacity() > spare_text_.capacity()) spare_text_ = std::move(text);
  };
  for (auto& event : events_) {
    if (auto* const content = std::get_if<ContentDelta>(&event)) keep(content->text);
    if (auto* const thought = std::get_if<ReasoningDelta>(&event)) keep(thought->text);
    auto* const call = std::get_if<ToolCall>(&event);
    if (call == nullptr || call->arguments.capacity() <= spare_call_.arguments.capacity()) continue;
    spare_call_ = std::move(*call);
  }
  if (spare_text_.capacity() >= kRoomForArguments) spare_text_.swap(spare_call_.arguments);
  events_.clear();
  spare_text_.clear();
}

/// Appends `text` to the last event, if it is a Delta, else to a new one.
template <class Delta>
void AnswerParser::emit(std::string_view text) {
  if (text.empty()) return;
  if (events_.empty() || !std::holds_alternative<Delta>(events_.back())) {
    events_.emplace_back(Delta{std::exchange(spare_text_, {})});
  }
  auto& all = std::get<Delta>(events_.back()).text;
  take_room(all, text.size(), spare_call_.arguments);
  all += text;
}

void AnswerParser::emit_content(std::string_view text) {
  emit<ContentDelta>(text);
}

void AnswerParser::emit_reasoning(std::string_view text) {
  emit<ReasoningDelta>(text);
}

void AnswerParser::marker_in_content(Marker marker) {
  if (marker == Marker::thought_begin) {
    state_ = State::thought_name;
  } else if (marker == Marker::call_begin) {
    begin_call();
  } else {
    emit_content(text_of(marker));
  }
}

void AnswerParser::marker_in_thought_name(Marker marker) {
  const bool empty_thought = marker == Marker::thought_end && pending_ == "thought";
  if (!empty_thought) {
    give_up_markup();
    return marker_in_content(marker);
  }
  pending_.clear();
  state_ = State::content;
}

void AnswerParser::marker_in_thought(Marker marker) {
  if (marker == Marker::thought_begin || marker == Marker::quote) return think(text_of(marker));
  if (marker == Marker::call_end) return think(text_of(marker));
  newline_held_ = false;  // it stood before the thought's end
  state_ = State::content;
  if (marker == Marker::call_begin) begin_call();  // who calls has stopped thinking
}

void AnswerParser::marker_in_call(Marker marker) {
  if (marker == Marker::call_end) return end_call();
  if (marker == Marker::call_begin) {
    give_up_markup();
    return begin_call();
  }
  add_to_call(text_of(marker));
  if (marker == Marker::quote) quotes_.push_back(pending_.size() - kQuoteMark.size());
}

/// Decides as soon as it can whether the channel is the thought channel.
void AnswerParser::name_thought() {
  if (kThoughtName.starts_with(pending_) && pending_.size() < kThoughtName.size()) return;
  if (!pending_.starts_with(kThoughtName)) return give_up_markup();
  state_ = State::thought;
  think(std::string_view(pending_).substr(kThoughtName.size()));
  pending_.clear();
}

void AnswerParser::think(std::string_view piece) {
  if (piece.empty()) return;
  if (newline_held_) emit_reasoning("\n");
  newline_held_ = piece.back() == '\n';
  if (newline_held_) piece.remove_suffix(1);
  emit_reasoning(piece);
}

void AnswerParser::begin_call() {
  state_ = State::call;
  pending_.clear();
  quotes_.clear();
}

void AnswerParser::add_to_call(std::string_view text) {
  if (pending_.size() + text.size() > kMostCallBytes) {
    throw Error("a call's text has more than " + std::to_string(kMostCallBytes) + " bytes");
  }
  pending_ += text;
}

void AnswerParser::end_call() {
  if (calls_.read(pending_, quotes_, spare_call_)) {
    events_.emplace_back(std::exchange(spare_call_, {}));
    pending_.clear();
    state_ = State::content;
    return;
  }
  give_up_markup();
  emit_content(text_of(Marker::call_end));
}

/// Turns markup that leads nowhere into content.
void AnswerParser::give_up_markup() {
  if (state_ == State::thought_name) emit_content(text_of(Marker::thought_begin));
  if (state_ == State::call) emit_content(text_of(Marker::call_begin));
  if (state_ != State::thought) emit_content(pending_);
  pending_.clear();
  state_ = State::content;
}

}  // namespace tandem::model
