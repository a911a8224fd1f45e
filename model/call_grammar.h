#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "model/grammar.h"
#include "model/ordered_json.h"

namespace tandem::model {

/// A function whose calls a grammar makes.
struct CallableTool {
  std::string name;
  OrderedJson parameters;  ///< a JSON schema of an object; null, or one without properties: none
  /// A schema with keywords that are not understood is refused; else any arguments may come in its place.
  bool strict = false;
};

/// What an answer with calls is made of.
struct CallAnswer {
  bool must_call = false;     ///< nothing but calls, at least one
  bool several_calls = true;  ///< one after another
  /// What the content is held to (its root is "root"), instead of calls; without it, any text, calls after
  /// it.
  std::optional<std::vector<GrammarRule>> content;
};

/// Rules of answers that may call `tools` in Gemma 4's notation (model-spec 5.6), call markup written as
/// token_trie.h has it; the root is "root".  Keys come in alphabetical order, as the model is shown them.
/// What it makes is read by read_tool_call, but for two things that no grammar can see: a key that comes
/// twice in an object whose keys are free, and nesting without end.  Throws GrammarError as
/// json_schema_grammar does.
std::vector<GrammarRule> call_grammar(std::span<const CallableTool> tools, const CallAnswer& answer);

}  // namespace tandem::model
