#pragma once

#include <string>
#include <string_view>

#include "model/chat_pieces.h"
#include "model/ordered_json.h"

namespace tandem::model {

/// What the published revisions of Gemma 4's template write differently.
struct Gemma4Rules {
  /// Properties named like schema keywords ("type", "description" ...) are left out of declarations.
  bool drops_keyword_properties = false;
  /// null in arguments and results is written as Python has it.
  bool null_is_none = false;
  /// A system message that is not one text is written in Python's notation; later revisions join its parts.
  bool writes_system_as_python = false;
  /// Content counts as present by its own value, not by what is left of it after trimming.
  bool counts_blank_content = false;
  /// Arguments that are a text are written as they are; later revisions raise.
  bool takes_text_arguments = false;
  /// A result must name its tool or answer a known call; later revisions write "unknown".
  bool needs_tool_name = false;
  /// Thoughts are kept only beside calls.
  bool keeps_thoughts_of_calls_only = false;
  /// A turn stays open where the assistant goes on after it, and closes after answered calls where somebody
  /// else follows.
  bool looks_ahead = false;
  /// With thinking, the prompt after a tool's result opens the thought channel.
  bool opens_thought_after_result = false;
};

/// Throws ChatError if lists and maps in `value` are nested too deep for those who walk it recursively.
void require_shallow(const OrderedJson& value, const std::string& what);

/// A value as calls, results and declarations write it: texts between <|"|>, maps sorted by key.
class Gemma4Values {
 public:
  enum class Keys { bare, quoted };

  Gemma4Values(const Gemma4Rules& rules, PieceWriter& out) : rules_(rules), out_(out) {}

  void write(const OrderedJson& value, Keys keys);
  /// The members of a map without braces: k:v,k:v.
  void members(const OrderedJson& map, Keys keys);
  /// A text between <|"|>.
  void quoted(std::string_view text);

 private:
  const Gemma4Rules& rules_;
  PieceWriter& out_;
};

/// declaration:NAME{...} of a tool, from OpenAI's `function` object.  Throws ChatError where the schema is
/// not of the shape that the template expects or is nested too deep.
void write_declaration(const OrderedJson& function, const Gemma4Rules& rules, PieceWriter& out);

}  // namespace tandem::model
