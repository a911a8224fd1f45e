#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/ordered_json.h"

namespace tandem::model {

// What the template language takes from Python: how values are written, which ones count as true, what is a
// space.

/// `str(value)`: 1.0, True, None, and for lists and maps Python's own notation.  Integers beyond 64 bits have
/// become floating-point numbers when they were read.
std::string python_str(const OrderedJson& value);

/// False for null, false, 0, "", [] and {}.
bool python_true(const OrderedJson& value);

/// Without white space (of all Unicode) at both ends.
std::string_view python_strip(std::string_view text);

/// Upper and lower case, letter by letter (so German sharp s stays as it is).
std::string python_upper(std::string_view text);
std::string python_lower(std::string_view text);

/// The members of a map in the order of jinja2's `dictsort`: by lower-case key, equal ones as they came.
std::vector<std::pair<std::string_view, const OrderedJson*>> sorted_members(const OrderedJson& map);

}  // namespace tandem::model
