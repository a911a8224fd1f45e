#pragma once

#include <cstdint>
#include <vector>

#include "model/grammar.h"

namespace tandem::model {

/// Bytes first to last, both included.
struct ByteRange {
  std::uint8_t first = 0;
  std::uint8_t last = 0;
};

/// Byte sequences of one length: a byte of each range.
using ByteRanges = std::vector<ByteRange>;

/// The UTF-8 encodings of the code points of `range`, each in exactly one of the results.  Surrogates are
/// left out, they have none.
std::vector<ByteRanges> utf8_ranges(CodeRange range);

/// All code points that are in none of `ranges`.
std::vector<CodeRange> complement(std::vector<CodeRange> ranges);

}  // namespace tandem::model
