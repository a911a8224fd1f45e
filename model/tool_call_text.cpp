#include "model/tool_call_text.h"

#include <algorithm>
#include <charconv>
#include <cstddef>

#include "model/utf8.h"

namespace tandem::model {
namespace {

constexpr std::size_t kLongestName = 128;
constexpr std::size_t kMostMembers = 1024;  // of one map
constexpr std::size_t kLeastMember = 2;     // bytes: a colon, and what opens a map
constexpr std::string_view kSpaces = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const auto begin = text.find_first_not_of(kSpaces);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kSpaces) - begin + 1);
}

void append_control(char control, std::string& to) {
  constexpr std::string_view kWithNames = "\b\t\n\f\r", kNames = "btnfr", kDigits = "0123456789abcdef";
  const auto named = kWithNames.find(control);
  if (named != std::string_view::npos) {
    (to += '\\') += kNames[named];
    return;
  }
  const auto code = static_cast<unsigned char>(control);
  ((to += "\\u00") += kDigits[code / 16U]) += kDigits[code % 16U];
}

/// Appends `text` as a JSON text, with U+FFFD where it is not UTF-8.  Written here and not by the JSON
/// library because that allocates several times for every text, and this runs between decode steps.
void append_json_text(std::string_view text, std::string& to) {
  to += '"';
  while (!text.empty()) {
    const auto front = utf8_front(text);
    const auto c = text[0];
    if (front.state != Utf8State::whole) {
      to += kReplacementCharacter;
    } else if (c == '"' || c == '\\') {
      (to += '\\') += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      append_control(c, to);
    } else {
      to += text.substr(0, front.bytes);
    }
    text.remove_prefix(front.bytes);
  }
  to += '"';
}

/// Whether a number is in range of a double: readers of JSON refuse others.
bool is_finite(std::string_view number) {
  double value = 0;
  return std::from_chars(number.data(), number.data() + number.size(), value).ec == std::errc();
}

/// The names that requests may have for functions.
bool is_name(std::string_view name) {
  constexpr std::string_view kAllowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:/";
  return !name.empty() && name.size() <= kLongestName &&
         name.find_first_not_of(kAllowed) == std::string_view::npos;
}

/// A number as JSON writes them.
bool is_number(std::string_view text) {
  const auto take = [&text](std::string_view any_of) {
    const bool taken = !text.empty() && any_of.find(text[0]) != std::string_view::npos;
    if (taken) text.remove_prefix(1);
    return taken;
  };
  const auto take_digits = [&take] {
    bool any = false;
    while (take("0123456789")) any = true;
    return any;
  };
  take("-");
  if (!take("0") && !take_digits()) return false;
  if (take(".") && !take_digits()) return false;
  if (take("eE")) {
    take("+-");
    if (!take_digits()) return false;
  }
  return text.empty();
}

/// Reads one call from front to back and writes its arguments as JSON.  Members return false where the text
/// is not as it should be.
class CallReader {
 public:
  /// `keys` is scratch.
  CallReader(std::string_view text, std::span<const std::size_t> quotes, std::size_t max_depth,
             std::vector<std::string_view>& keys, ToolCall& call)
      : text_(text), quotes_(quotes), max_depth_(max_depth), keys_(keys), call_(call), json_(call.arguments) {
    keys_.clear();
    json_.clear();
  }

  bool call() {
    constexpr std::string_view kCall = "call:";
    skip_spaces();
    if (!text_.substr(at_).starts_with(kCall)) return false;
    at_ += kCall.size();
    const auto name = trimmed(until("{"));
    if (!is_name(name) || !map(1)) return false;
    skip_spaces();
    call_.name = name;
    return at_ == text_.size();
  }

 private:
  [[nodiscard]] bool at_quote() const { return !quotes_.empty() && quotes_.front() == at_; }
  [[nodiscard]] char front() const { return at_ < text_.size() ? text_[at_] : '\0'; }

  void skip_spaces() { at_ = std::min(text_.find_first_not_of(kSpaces, at_), text_.size()); }

  bool take(char c) {
    skip_spaces();
    if (at_quote() || front() != c) return false;
    ++at_;
    return true;
  }

  /// The text up to one of `stops`, a quote mark or the end.
  std::string_view until(std::string_view stops) {
    const auto begin = at_;
    const auto end = std::min(
        {text_.find_first_of(stops, at_), text_.size(), quotes_.empty() ? text_.size() : quotes_.front()});
    at_ = end;
    return text_.substr(begin, end - begin);
  }

  /// A quoted text, the reader standing at its first mark.
  bool quoted(std::string_view& content) {
    if (quotes_.size() < 2) return false;
    const auto begin = quotes_[0] + kQuoteMark.size();
    content = text_.substr(begin, quotes_[1] - begin);
    at_ = quotes_[1] + kQuoteMark.size();
    quotes_ = quotes_.subspan(2);
    return true;
  }

  bool key(std::string_view& key) {
    skip_spaces();
    if (at_quote()) return quoted(key) && take(':');
    key = trimmed(until(":,{}[]"));
    return take(':');
  }

  bool map(std::size_t depth) {
    if (depth > max_depth_ || !take('{')) return false;
    json_ += '{';
    const auto first = keys_.size();
    for (bool more = !take('}'); more; more = take(',')) {
      if (keys_.size() > first) json_ += ',';
      std::string_view name;
      if (!key(name) || !add_key(first, name)) return false;
      append_json_text(name, json_);
      json_ += ':';
      if (!value(depth)) return false;
    }
    json_ += '}';
    const bool is_empty = keys_.size() == first;
    keys_.resize(first);
    return is_empty || take('}');
  }

  /// Adds `key` to those from `first` on, which are in order; false if it is there or there are too many.
  bool add_key(std::size_t first, std::string_view key) {
    const auto begin = keys_.begin() + static_cast<std::ptrdiff_t>(first);
    const auto at = std::lower_bound(begin, keys_.end(), key);
    if (at != keys_.end() && *at == key) return false;
    keys_.insert(at, key);
    return keys_.size() - first <= kMostMembers;
  }

  bool list(std::size_t depth) {
    if (depth > max_depth_ || !take('[')) return false;
    json_ += '[';
    if (take(']')) {
      json_ += ']';
      return true;
    }
    do {
      if (json_.back() != '[') json_ += ',';
      if (!value(depth)) return false;
    } while (take(','));
    json_ += ']';
    return take(']');
  }

  /// A value in something that is nested `depth` deep.
  bool value(std::size_t depth) {
    skip_spaces();
    if (at_quote()) {
      std::string_view content;
      if (!quoted(content)) return false;
      append_json_text(content, json_);
      return true;
    }
    if (front() == '{') return map(depth + 1);
    if (front() == '[') return list(depth + 1);
    return word(trimmed(until(",{}[]")));
  }

  bool word(std::string_view word) {
    if (word == "None") word = "null";
    const bool named = word == "true" || word == "false" || word == "null";
    if (!named && !(is_number(word) && is_finite(word))) return false;
    json_ += word;
    return true;
  }

  std::string_view text_;
  std::span<const std::size_t> quotes_;  ///< those from at_ on
  const std::size_t max_depth_;
  std::size_t at_ = 0;
  std::vector<std::string_view>& keys_;  ///< of the maps that are open, the innermost last
  ToolCall& call_;
  std::string& json_;
};

}  // namespace

std::optional<ToolCall> read_tool_call(std::string_view text, std::span<const std::size_t> quotes,
                                       std::size_t max_depth) {
  ToolCall call;
  std::vector<std::string_view> keys;
  if (!CallReader(text, quotes, max_depth, keys, call).call()) return std::nullopt;
  return call;
}

ToolCall tool_call_with_room() {
  ToolCall call;
  call.name.reserve(kLongestName);
  call.arguments.reserve(kRoomForArguments);
  return call;
}

ToolCallReader::ToolCallReader(std::size_t max_depth) : max_depth_(max_depth) {
  constexpr auto kMostKeys = kMostCallBytes / kLeastMember;
  keys_.reserve(std::min(max_depth, kMostKeys / kMostMembers) * kMostMembers + 1);
}

bool ToolCallReader::read(std::string_view text, std::span<const std::size_t> quotes, ToolCall& call) {
  return CallReader(text, quotes, max_depth_, keys_, call).call();
}

}  // namespace tandem::model
