#pragma once

#include <string>

#include "ipc/json_fields.h"

namespace tandem::ipc {

/// What an answer is held to while its tokens are chosen.
struct AnswerFormat {
  enum class Kind {
    free,         ///< nothing
    json_object,  ///< any JSON object
    json_schema,  ///< what `schema` allows
    gbnf          ///< what `grammar` makes
  };

  Kind kind = Kind::free;
  Json schema;          ///< its members in the client's order, which is the order of the answer's
  std::string grammar;  ///< in GBNF, its root rule called "root"
  std::string field;    ///< what the client calls it, for messages: "response_format", "grammar", "format"
};

}  // namespace tandem::ipc
