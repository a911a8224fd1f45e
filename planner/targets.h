#pragma once

#include <cstdint>
#include <vector>

#include "planner/machine_parts.h"
#include "planner/questions.h"

namespace tandem::planner {

enum class TargetKind { decode_tok_per_s, first_token_s };

/// A speed to reach: at least `value` tokens a second, or at most `value` seconds to the first token.
struct Target {
  TargetKind kind = TargetKind::decode_tok_per_s;
  double value = 0;
};

/// Seconds from a prompt as long as the plan's expected context to the first token of its answer, the model's
/// time alone: no queue, no other sequence.
double first_token_s(const Plan& plan) noexcept;

/// The plan fits and its prediction reaches the target.
bool reaches(const Plan& plan, const Target& target) noexcept;

/// What reaches the target, everything being placed for it: for decode, or for prefill (Workload::optimise).
/// Each row differs in one more thing from the setting:
///  - as asked;
///  - the least VRAM, to the byte, from 0 to what everything on the GPU takes.  By bisection: a plan within a
///    budget is within a larger one, so the fastest one's time does not rise with the budget.  Where no VRAM
///    is enough: the plan with everything on the GPU;
///  - each other KV type that the model's heads allow;
///  - each card of `cards` in the setting's machine, with the card's own memory as the VRAM budget.
Answer what_reaches(const Setting& setting, const Target& target, const std::vector<GpuPart>& cards);

/// `machine` with another card in it: what the card's specification says, beside the machine's own processor.
/// The slot is as fast as the card.
MachineProfile with_card(const MachineProfile& machine, const GpuPart& card, const AssumedFacts& assumed);

}  // namespace tandem::planner
