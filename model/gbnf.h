#pragma once

#include <string_view>
#include <vector>

#include "model/grammar.h"

namespace tandem::model {

/// Reads a grammar in the notation of llama.cpp's GBNF: name ::= alternatives, "texts", [character sets],
/// dots, groups, the suffixes * + ? {m} {m,} {m,n}, comments from # on.  Throws GrammarError with line and
/// column.  References to single tokens (<...>) are refused.
std::vector<GrammarRule> read_gbnf(std::string_view text);

}  // namespace tandem::model
