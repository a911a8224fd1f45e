#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "model/grammar.h"

namespace tandem::model {

/// The formats that string_format knows, as they are told.
inline constexpr std::string_view kStringFormats =
    "date, time, date-time, duration, uuid, email, hostname, ipv4, ipv6, uri";

struct StringFormat {
  Expression characters;  ///< of ASCII; none needs an escape
  std::uint32_t shortest = 0;
  std::uint32_t longest = 0;
};

/// What strings with `format`, a word of JSON Schema, may be; nothing for a word that is not in
/// kStringFormats. All that is made has the format, not all that has it is made: dates are of the years 1000
/// to 9999, no second is a leap second, names of hosts and mailboxes are of small letters and digits.
std::optional<StringFormat> string_format(std::string_view format);

}  // namespace tandem::model
