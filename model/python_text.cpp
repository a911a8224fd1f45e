#include "model/python_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cwctype>
#include <locale.h>
#include <utility>

#include "model/ordered_json.h"
#include "model/utf8.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;

/// Every whole character of `text` changed by `change`; broken bytes stay as they are.
template <typename Change>
std::string map_characters(std::string_view text, Change change) {
  std::string out;
  out.reserve(text.size());
  while (!text.empty()) {
    const auto front = utf8_front(text);
    const auto character = text.substr(0, front.bytes);
    if (front.state == Utf8State::whole) {
      append_utf8(change(decode_utf8(character)), out);
    } else {
      out += character;
    }
    text.remove_prefix(front.bytes);
  }
  return out;
}

/// Case rules of all of Unicode, independent of the user's language.  Null if the C library has none.
locale_t unicode_locale() {
  static const locale_t kLocale = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
  return kLocale;
}

bool is_space(char32_t point) {
  if (point >= 0x09 && point <= 0x0D) return true;
  if (point >= 0x1C && point <= 0x20) return true;
  if (point >= 0x2000 && point <= 0x200A) return true;
  constexpr std::array<char32_t, 8> kOthers = {0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000};
  return std::ranges::find(kOthers, point) != kOthers.end();
}

/// Length of the space that `text` begins with, 0 if there is none.
std::size_t space_at_front(std::string_view text) {
  const auto front = utf8_front(text);
  return front.state == Utf8State::whole && is_space(decode_utf8(text.substr(0, front.bytes))) ? front.bytes
                                                                                               : 0;
}

std::size_t space_at_back(std::string_view text) {
  for (std::size_t bytes = 1; bytes <= std::min<std::size_t>(3, text.size()); ++bytes) {
    if (space_at_front(text.substr(text.size() - bytes)) == bytes) return bytes;
  }
  return 0;
}

/// The shortest digits that read back as `value`, laid out by Python's rule: an exponent below 1e-4 and from
/// 1e16 on.
std::string float_text(double value) {
  std::array<char, 32> buffer{};
  const auto end =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::scientific).ptr;
  std::string scientific(buffer.data(), end);
  const auto e = scientific.find('e');
  int exponent = 0;
  const char* digits = scientific.data() + e + 1;
  std::from_chars(*digits == '+' ? digits + 1 : digits, scientific.data() + scientific.size(), exponent);
  if (exponent < -4 || exponent >= 16) return scientific;
  const auto fixed =
      std::to_chars(buffer.data(), buffer.data() + buffer.size(), value, std::chars_format::fixed).ptr;
  std::string text(buffer.data(), fixed);
  return text.find('.') == std::string::npos ? text + ".0" : text;
}

/// Characters that format (Cf) and those for private use (Co): C libraries count them as printable, Python
/// does not.
bool is_format_or_private(char32_t point) {
  using Range = std::pair<char32_t, char32_t>;  // first and last
  constexpr std::array<Range, 24> kRanges = {
      {{0xAD, 0xAD},       {0x600, 0x605},     {0x61C, 0x61C},     {0x6DD, 0x6DD},      {0x70F, 0x70F},
       {0x890, 0x891},     {0x8E2, 0x8E2},     {0x180E, 0x180E},   {0x200B, 0x200F},    {0x202A, 0x202E},
       {0x2060, 0x2064},   {0x2066, 0x206F},   {0xE000, 0xF8FF},   {0xFEFF, 0xFEFF},    {0xFFF9, 0xFFFB},
       {0x110BD, 0x110BD}, {0x110CD, 0x110CD}, {0x13430, 0x1343F}, {0x1BCA0, 0x1BCA3},  {0x1D173, 0x1D17A},
       {0xE0001, 0xE0001}, {0xE0020, 0xE007F}, {0xF0000, 0xFFFFD}, {0x100000, 0x10FFFD}}};
  return std::ranges::any_of(kRanges,
                             [point](const Range& r) { return point >= r.first && point <= r.second; });
}

/// Whether Python's notation of a text shows the character itself.
bool is_printable(char32_t point) {
  const auto locale = unicode_locale();
  if (point < 0x80 || locale == nullptr) return point >= 0x20 && point != 0x7F;
  return !is_space(point) && !is_format_or_private(point) &&
         iswprint_l(static_cast<wint_t>(point), locale) != 0;
}

/// \x07, \u2028 or \U0001f9ff.
std::string escape_of(char32_t point) {
  const char* format = point < 0x100 ? "\\x%02x" : point < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::array<char, 11> escape{};
  std::snprintf(escape.data(), escape.size(), format, static_cast<unsigned>(point));
  return escape.data();
}

std::string in_quotes(std::string_view text) {
  const bool has_single = text.find('\'') != std::string_view::npos;
  const char quote = has_single && text.find('"') == std::string_view::npos ? '"' : '\'';
  std::string out(1, quote);
  while (!text.empty()) {
    const auto front = utf8_front(text);
    const auto character = text.substr(0, front.bytes);
    if (character[0] == quote || character == "\\") {
      (out += '\\') += character;
    } else if (character == "\n") {
      out += "\\n";
    } else if (character == "\r") {
      out += "\\r";
    } else if (character == "\t") {
      out += "\\t";
    } else if (front.state == Utf8State::whole && !is_printable(decode_utf8(character))) {
      out += escape_of(decode_utf8(character));
    } else {
      out += character;
    }
    text.remove_prefix(front.bytes);
  }
  return out + quote;
}

/// `repr(value)`: as str, but texts in quotes.
std::string python_repr(const Json& value) {
  if (value.is_string()) return in_quotes(value.get_ref<const std::string&>());
  if (value.is_array()) {
    std::string out = "[";
    for (const auto& item : value) out += (out.size() > 1 ? ", " : "") + python_repr(item);
    return out + "]";
  }
  if (value.is_object()) {
    std::string out = "{";
    for (const auto& [key, item] : value.items()) {
      out += (out.size() > 1 ? ", " : "") + in_quotes(key) + ": " + python_repr(item);
    }
    return out + "}";
  }
  if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
  if (value.is_null()) return "None";
  return value.is_number_float() ? float_text(value.get<double>()) : value.dump();
}

}  // namespace

std::string python_str(const Json& value) {
  return value.is_string() ? value.get<std::string>() : python_repr(value);
}

bool python_true(const Json& value) {
  if (value.is_null()) return false;
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  if (value.is_string()) return !value.get_ref<const std::string&>().empty();
  return !value.empty();
}

std::string_view python_strip(std::string_view text) {
  while (!text.empty()) {
    const auto bytes = space_at_front(text);
    if (bytes == 0) break;
    text.remove_prefix(bytes);
  }
  while (!text.empty()) {
    const auto bytes = space_at_back(text);
    if (bytes == 0) break;
    text.remove_suffix(bytes);
  }
  return text;
}

std::string python_upper(std::string_view text) {
  const auto locale = unicode_locale();
  return map_characters(text, [locale](char32_t point) -> char32_t {
    if (locale == nullptr) return point >= U'a' && point <= U'z' ? point - 32 : point;
    return static_cast<char32_t>(towupper_l(static_cast<wint_t>(point), locale));
  });
}

std::string python_lower(std::string_view text) {
  const auto locale = unicode_locale();
  return map_characters(text, [locale](char32_t point) -> char32_t {
    if (locale == nullptr) return point >= U'A' && point <= U'Z' ? point + 32 : point;
    return static_cast<char32_t>(towlower_l(static_cast<wint_t>(point), locale));
  });
}

std::vector<std::pair<std::string_view, const Json*>> sorted_members(const Json& map) {
  std::vector<std::pair<std::string, std::pair<std::string_view, const Json*>>> members;
  for (const auto& [key, value] : map.get_ref<const Json::object_t&>()) {
    members.push_back({python_lower(key), {key, &value}});
  }
  std::ranges::stable_sort(members, {},
                           [](const auto& member) -> const std::string& { return member.first; });
  std::vector<std::pair<std::string_view, const Json*>> sorted;
  sorted.reserve(members.size());
  for (const auto& member : members) sorted.push_back(member.second);
  return sorted;
}

}  // namespace tandem::model
