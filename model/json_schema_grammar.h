#pragma once

#include <vector>

#include "model/grammar.h"
#include "model/json_rules.h"
#include "model/ordered_json.h"

namespace tandem::model {

/// Rules of any JSON object; the root is "root".  White space is a space or a newline with up to 20 spaces or
/// tabs, after { [ , : and before } ] only.
std::vector<GrammarRule> json_object_grammar();

/// Rules of JSON that `schema` allows; the root is "root".  Everything made is valid, but not everything
/// valid is made: objects have their properties in the order in which the schema lists them, and where it
/// lists any, no others but required ones.
///
/// Understood: type (also a list), enum, const, properties, required, additionalProperties, items,
/// prefixItems (answers have all of them), minItems, maxItems, minLength, maxLength (all four up to 1000),
/// format (kStringFormats), minimum, maximum, exclusiveMinimum, exclusiveMaximum
/// (of numbers that are not integers: whole ones), anyOf, oneOf (where alternatives exclude each other by
/// type or by a constant property), allOf of one schema, $ref within the schema, also recursive.  Without
/// effect: title, description, default, examples, deprecated, readOnly, writeOnly, discriminator, $schema,
/// $id, $comment, $defs, definitions. Throws GrammarError, which names the place and the keyword, for
/// everything else, and for schemas that allow nothing.
std::vector<GrammarRule> json_schema_grammar(const OrderedJson& schema);

/// The same in another notation.
std::vector<GrammarRule> schema_grammar(const OrderedJson& schema, json_rules::Notation notation);

}  // namespace tandem::model
