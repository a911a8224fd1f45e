#pragma once

#include <vector>

#include "planner/plan.h"

namespace tandem::engine {

/// What a micro-batch does on one device before it goes on to the other: it gets its rows, by embedding or
/// from there, passes the units, and ends with logits or gives its rows to the next segment.
struct Segment {
  planner::Device device = planner::Device::cpu;
  bool embeds = false;                  ///< the first one
  std::vector<planner::UnitRef> units;  ///< without the head; may be empty
  bool ends = false;                    ///< the last one, which has the head

  bool operator==(const Segment&) const = default;
};

/// The way of a micro-batch by `plan`, each segment on another device than the one before.
std::vector<Segment> segments_of(const planner::Plan& plan);

/// The way of one whose FFN weights are streamed: their halves are on the GPU.  Empty where nothing is
/// streamed.
std::vector<Segment> streamed_segments_of(const planner::Plan& plan);

}  // namespace tandem::engine
