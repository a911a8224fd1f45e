#pragma once

#include <string>

#include "model/grammar.h"
#include "model/ordered_json.h"

namespace tandem::model {

/// Throws GrammarError for what stands at `path` (a JSON pointer) of a schema.
[[noreturn]] void refuse_schema(const std::string& path, const std::string& problem, std::string hint = {});

/// The integers and the numbers that minimum, maximum and their exclusive kin in `schema` allow.  Throws
/// GrammarError where these are not numbers, leave nothing or, for numbers, are not whole.
Expression integer_of_schema(const OrderedJson& schema, const std::string& path);
Expression number_of_schema(const OrderedJson& schema, const std::string& path);

}  // namespace tandem::model
