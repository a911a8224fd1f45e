#include "model/gbnf.h"

#include <algorithm>
#include <charconv>

#include "model/utf8.h"
#include "model/utf8_ranges.h"

namespace tandem::model {
namespace {

constexpr std::size_t kMostBytes = std::size_t{1} << 18;
constexpr int kDeepestGroup = 100;
constexpr int kMostSuffixes = 8;  // each wraps what is before it, and all is walked recursively
constexpr std::uint32_t kMostRepeats = 10'000;

bool is_name_character(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

class GbnfReader {
 public:
  explicit GbnfReader(std::string_view text) : text_(text) {}

  std::vector<GrammarRule> rules() {
    std::vector<GrammarRule> rules;
    for (skip_space(true); !at_end(); skip_space(true)) rules.push_back(rule());
    return rules;
  }

 private:
  [[nodiscard]] bool at_end() const { return at_ == text_.size(); }
  [[nodiscard]] char front() const { return at_end() ? '\0' : text_[at_]; }

  [[noreturn]] void fail(const std::string& problem) const {
    const auto before = text_.substr(0, at_);
    const auto line = 1 + std::ranges::count(before, '\n');
    const auto column = at_ - (before.rfind('\n') + 1) + 1;  // npos + 1 is 0
    throw GrammarError("grammar: line " + std::to_string(line) + ", column " + std::to_string(column) + ": " +
                       problem);
  }

  bool take(std::string_view text) {
    if (!text_.substr(at_).starts_with(text)) return false;
    at_ += text.size();
    return true;
  }

  void expect(std::string_view text) {
    if (!take(text)) fail("expected " + std::string(text));
  }

  /// Spaces, comments and, where a rule cannot end, newlines.
  void skip_space(bool over_newlines) {
    while (!at_end()) {
      if (front() == '#') {
        at_ = std::min(text_.find_first_of("\r\n", at_), text_.size());
      } else if (front() == ' ' || front() == '\t' ||
                 (over_newlines && (front() == '\n' || front() == '\r'))) {
        ++at_;
      } else {
        return;
      }
    }
  }

  std::string_view name() {
    const auto begin = at_;
    while (is_name_character(front())) ++at_;
    if (at_ == begin) fail("expected a name");
    return text_.substr(begin, at_ - begin);
  }

  GrammarRule rule() {
    const std::string rule_name(name());
    skip_space(false);
    expect("::=");
    skip_space(true);
    auto body = alternatives(0);
    if (!at_end() && front() != '\n' && front() != '\r') fail("expected the end of the rule");
    return {rule_name, std::move(body)};
  }

  Expression alternatives(int depth) {
    if (depth > kDeepestGroup) fail("groups are nested more than " + std::to_string(kDeepestGroup) + " deep");
    std::vector<Expression> choices = {sequence(depth)};
    while (take("|")) {
      skip_space(true);
      choices.push_back(sequence(depth));
    }
    return choices.size() == 1 ? std::move(choices[0]) : Expression::choice(std::move(choices));
  }

  Expression sequence(int depth) {
    std::vector<Expression> parts;
    while (true) {
      if (front() == '"') {
        parts.push_back(quoted());
      } else if (front() == '[') {
        parts.push_back(character_set());
      } else if (take(".")) {
        parts.push_back(Expression::one_of(complement({})));
      } else if (take("(")) {
        skip_space(true);
        parts.push_back(alternatives(depth + 1));
        expect(")");
      } else if (is_name_character(front())) {
        parts.push_back(Expression::rule(name()));
      } else if (front() == '<' || front() == '!') {
        fail("references to tokens are not supported");
      } else {
        return parts.size() == 1 ? std::move(parts[0]) : Expression::sequence(std::move(parts));
      }
      suffixes(parts.back());
      skip_space(depth > 0);
    }
  }

  void suffixes(Expression& part) {
    constexpr auto kUnlimited = Expression::kUnlimited;
    for (int suffixes = 0; suffixes <= kMostSuffixes; ++suffixes) {
      if (take("*")) {
        part = Expression::repeat(std::move(part), 0, kUnlimited);
      } else if (take("+")) {
        part = Expression::repeat(std::move(part), 1, kUnlimited);
      } else if (take("?")) {
        part = Expression::optional(std::move(part));
      } else if (take("{")) {
        counted(part);
      } else {
        return;
      }
    }
    fail("more than " + std::to_string(kMostSuffixes) + " suffixes");
  }

  void counted(Expression& part) {
    skip_space(false);
    const auto min = count();
    auto max = min;
    skip_space(false);
    if (take(",")) {
      skip_space(false);
      max = front() == '}' ? Expression::kUnlimited : count();
      skip_space(false);
    }
    expect("}");
    if (max < min) fail("the smaller count comes first");
    part = Expression::repeat(std::move(part), min, max);
  }

  std::uint32_t count() {
    std::uint32_t value = 0;
    const auto* begin = text_.data() + at_;
    const auto result = std::from_chars(begin, text_.data() + text_.size(), value);
    if (result.ptr == begin) fail("expected a count");
    if (result.ec != std::errc() || value > kMostRepeats) {
      fail("a count is limited to " + std::to_string(kMostRepeats));
    }
    at_ += static_cast<std::size_t>(result.ptr - begin);
    return value;
  }

  Expression quoted() {
    expect("\"");
    std::string text;
    while (!take("\"")) append_utf8(character(), text);
    return Expression::literal(text);
  }

  Expression character_set() {
    expect("[");
    const bool negated = take("^");
    std::vector<CodeRange> ranges;
    while (!take("]")) {
      const auto first = character();
      auto last = first;
      if (front() == '-' && text_.substr(at_ + 1, 1) != "]") {
        ++at_;
        last = character();
      }
      if (last < first) fail("the range goes backwards");
      ranges.push_back({first, last});
    }
    return Expression::one_of(negated ? complement(std::move(ranges)) : std::move(ranges));
  }

  char32_t character() {
    if (at_end()) fail("the grammar ends inside a text or a set");
    if (take("\\")) return escaped();
    const auto front = utf8_front(text_.substr(at_));
    if (front.state != Utf8State::whole) fail("this is not UTF-8");
    const auto code = decode_utf8(text_.substr(at_, front.bytes));
    at_ += front.bytes;
    return code;
  }

  char32_t escaped() {
    if (at_end()) fail("the grammar ends inside a text or a set");
    const char c = text_[at_++];
    switch (c) {
      case 'n':
        return U'\n';
      case 'r':
        return U'\r';
      case 't':
        return U'\t';
      case 'x':
        return hex(2);
      case 'u':
        return hex(4);
      case 'U':
        return hex(8);
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<char32_t>(c);
      default:
        --at_;
        fail("unknown escape");
    }
  }

  char32_t hex(std::size_t digits) {
    std::uint32_t value = 0;
    const auto text = text_.substr(at_, digits);
    const auto result = std::from_chars(text.data(), text.data() + text.size(), value, 16);
    if (text.size() < digits || result.ptr != text.data() + digits) fail("too few hexadecimal digits");
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail("not a character");
    at_ += digits;
    return value;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

std::vector<GrammarRule> read_gbnf(std::string_view text) {
  if (text.size() > kMostBytes) {
    throw GrammarError("the grammar has " + std::to_string(text.size()) + " bytes, limit is " +
                       std::to_string(kMostBytes));
  }
  return GbnfReader(text).rules();
}

}  // namespace tandem::model
