#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "planner/questions.h"

namespace tandem::planner {

enum class SweepVariable { vram, ram, context, sequences };

/// Values that one part of a setting takes in turn.
struct Sweep {
  SweepVariable variable = SweepVariable::vram;
  std::vector<std::uint64_t> values;  ///< rising: bytes, tokens or sequences
};

/// A sweep has at most this many points.
inline constexpr std::size_t kMaxSweepPoints = 512;

/// Reads "VARIABLE=FIRST:LAST:STEP": "vram=6GiB:24GiB:1GiB", "context=4k:256k:x2".  A step "xN" multiplies,
/// any other is added; LAST is a value where a step meets it.  vram and ram take sizes (size_text.h), context
/// and sequences counts, of which "4k" is 4096.  Throws BadQuestion: what is wrong, and the limit that was
/// broken.
Sweep parse_sweep(std::string_view text);

/// A count of tokens as people type it: a whole number, or one with "k" for 1024 of them or "m" for 1024 *
/// 1024. Throws BadQuestion; `what` names the value in the message.
std::uint64_t parse_tokens(std::string_view what, std::string_view text, std::uint64_t max);

/// The setting's plan at each value; a row for each, none of them searched for.
Answer sweep(const Setting& setting, const Sweep& values);

/// "vram", as it is typed.
std::string_view to_string(SweepVariable variable) noexcept;

}  // namespace tandem::planner
