#include "model/json_string_formats.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "model/json_rules.h"

namespace tandem::model {
namespace {

using E = Expression;

E digit(char first = '0', char last = '9') {
  return E::one_of({{static_cast<char32_t>(first), static_cast<char32_t>(last)}});
}

E digits(std::uint32_t min, std::uint32_t max) {
  return E::repeat(digit(), min, max);
}

/// One of the characters in `text`.
E any_of(std::string_view text) {
  std::vector<CodeRange> ranges;
  for (const char c : text) ranges.push_back({static_cast<char32_t>(c), static_cast<char32_t>(c)});
  return E::one_of(std::move(ranges));
}

E words(const std::vector<std::string_view>& list) {
  std::vector<E> choices;
  for (const auto word : list) choices.push_back(E::literal(word));
  return E::choice(std::move(choices));
}

/// 00 to 59.
E sixtieth() {
  return E::sequence({digit('0', '5'), digit()});
}

E hour() {
  return E::choice(
      {E::sequence({digit('0', '1'), digit()}), E::sequence({E::literal("2"), digit('0', '3')})});
}

/// 01 to 28.
E day_of_every_month() {
  return E::choice({E::sequence({E::literal("0"), digit('1', '9')}), E::sequence({E::literal("1"), digit()}),
                    E::sequence({E::literal("2"), digit('0', '8')})});
}

/// 1000 to 9999.
E year() {
  return E::sequence({digit('1', '9'), digits(3, 3)});
}

/// Of these years every fourth, of those that end a century every fourth too.
E leap_year() {
  const auto fourth =
      E::choice({E::sequence({E::literal("0"), any_of("48")}), E::sequence({any_of("2468"), any_of("048")}),
                 E::sequence({any_of("13579"), any_of("26")})});
  const auto century =
      E::choice({E::sequence({any_of("2468"), any_of("048")}), E::sequence({any_of("13579"), any_of("26")})});
  return E::choice(
      {E::sequence({digit('1', '9'), digit(), fourth}), E::sequence({century, E::literal("00")})});
}

E date() {
  const auto to_30 = E::choice({day_of_every_month(), words({"29", "30"})});
  const auto to_31 = E::choice({day_of_every_month(), words({"29", "30", "31"})});
  const auto month_and_day =
      E::choice({E::sequence({words({"01-", "03-", "05-", "07-", "08-", "10-", "12-"}), to_31}),
                 E::sequence({words({"04-", "06-", "09-", "11-"}), to_30}),
                 E::sequence({E::literal("02-"), day_of_every_month()})});
  return E::choice({E::sequence({year(), E::literal("-"), month_and_day}),
                    E::sequence({leap_year(), E::literal("-02-29")})});
}

E time() {
  const auto fraction = E::optional(E::sequence({E::literal("."), digits(1, 6)}));
  const auto offset = E::sequence({any_of("+-"), hour(), E::literal(":"), sixtieth()});
  return E::sequence({hour(), E::literal(":"), sixtieth(), E::literal(":"), sixtieth(), fraction,
                      E::choice({E::literal("Z"), offset})});
}

E date_time() {
  return E::sequence({date(), E::literal("T"), time()});
}

/// Days, hours, minutes and seconds; what is less than another comes after it, with none left out between.
E duration() {
  const auto count = [](std::string_view unit) { return E::sequence({digits(1, 6), E::literal(unit)}); };
  const auto minutes = E::sequence({count("M"), E::optional(count("S"))});
  const auto hours = E::sequence({count("H"), E::optional(minutes)});
  const auto clock = E::sequence({E::literal("T"), E::choice({hours, minutes, count("S")})});
  return E::sequence({E::literal("P"), E::choice({E::sequence({count("D"), E::optional(clock)}), clock})});
}

E hex_digits(std::uint32_t min, std::uint32_t max) {
  return E::repeat(E::one_of({{'0', '9'}, {'a', 'f'}}), min, max);
}

E uuid() {
  std::vector<E> parts = {hex_digits(8, 8)};
  for (const std::uint32_t count : {4, 4, 4, 12}) {
    parts.push_back(E::literal("-"));
    parts.push_back(hex_digits(count, count));
  }
  return E::sequence(std::move(parts));
}

E letters_and_digits(std::uint32_t max) {
  return E::repeat(E::one_of({{'a', 'z'}, {'0', '9'}}), 1, max);
}

/// Words with one of `marks` between them, 55 characters at most.
E marked_words(std::string_view marks) {
  const auto more = E::sequence({any_of(marks), letters_and_digits(10)});
  return E::sequence({letters_and_digits(11), E::repeat(more, 0, 4)});
}

E hostname() {
  const auto label = E::sequence({marked_words("-"), E::literal(".")});
  const auto top = E::repeat(E::one_of({{'a', 'z'}}), 2, 12);
  return E::sequence({E::repeat(label, 1, 3), top});
}

E email() {
  return E::sequence({marked_words("._+-"), E::literal("@"), hostname()});
}

E ipv4() {
  const auto byte = json_rules::integer_between(0, 255);
  const auto dot = E::literal(".");
  return E::sequence({byte, dot, byte, dot, byte, dot, byte});
}

E ipv6() {
  const auto more = E::sequence({E::literal(":"), hex_digits(1, 4)});
  return E::sequence({hex_digits(1, 4), E::repeat(more, 7, 7)});
}

E uri() {
  const auto plain = E::one_of({{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'-', '.'}, {'_', '_'}, {'~', '~'}});
  const auto step = E::sequence({E::literal("/"), E::repeat(plain, 0, 32)});
  const auto query =
      E::one_of({{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'-', '.'}, {'_', '_'}, {'=', '='}, {'&', '&'}});
  return E::sequence({E::literal("http"), E::optional(E::literal("s")), E::literal("://"), hostname(),
                      E::repeat(step, 0, 8),
                      E::optional(E::sequence({E::literal("?"), E::repeat(query, 0, 64)}))});
}

/// Of what has no rules and no repeats without end, in ASCII.
StringFormat with_lengths(E expression) {
  std::uint32_t shortest = 0;
  std::uint32_t longest = 0;
  switch (expression.kind) {
    case E::Kind::text:
      shortest = longest = static_cast<std::uint32_t>(expression.text.size());
      break;
    case E::Kind::characters:
      shortest = longest = 1;
      break;
    case E::Kind::choice:
      shortest = E::kUnlimited;
      for (const auto& part : expression.parts) {
        const auto one = with_lengths(part);
        shortest = std::min(shortest, one.shortest);
        longest = std::max(longest, one.longest);
      }
      break;
    default:
      for (const auto& part : expression.parts) {
        const auto one = with_lengths(part);
        const bool repeats = expression.kind == E::Kind::repeat;
        shortest += one.shortest * (repeats ? expression.min : 1);
        longest += one.longest * (repeats ? expression.max : 1);
      }
  }
  return {std::move(expression), shortest, longest};
}

using Maker = E (*)();
constexpr std::array<std::pair<std::string_view, Maker>, 10> kMakers = {{{"date", date},
                                                                         {"time", time},
                                                                         {"date-time", date_time},
                                                                         {"duration", duration},
                                                                         {"uuid", uuid},
                                                                         {"email", email},
                                                                         {"hostname", hostname},
                                                                         {"ipv4", ipv4},
                                                                         {"ipv6", ipv6},
                                                                         {"uri", uri}}};

}  // namespace

std::optional<StringFormat> string_format(std::string_view format) {
  for (const auto& [name, maker] : kMakers) {
    if (name == format) return with_lengths(maker());
  }
  return std::nullopt;
}

}  // namespace tandem::model
