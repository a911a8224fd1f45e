#pragma once

#include <string>
#include <vector>

#include "planner/machine.h"
#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// A placement that was considered.
struct Candidate {
  Placement placement;
  std::string rule;      ///< the order it was filled in: "head, attention, FFN"
  double decode_us = 0;  ///< serial, one sequence at the expected context
  std::uint64_t ram_bytes = 0;
};

/// Everything on `gpu` if it fits.  Otherwise the GPU is filled in several orders (attention halves first,
/// FFN halves first, or whole layers, from the last one; the head first or last); each order takes every unit
/// that still fits when its turn comes.  So no candidate leaves out a unit that would still fit: what a
/// device needs only grows with its units.  The first candidate is the fastest by modelled time among those
/// within the RAM budget, or the one with least RAM if none is; the others follow by time.  Not an exact
/// optimum.
std::vector<Candidate> place(const ModelInput& model, const Budget& budget, const Workload& workload,
                             const MachineProfile& machine, Device gpu);

}  // namespace tandem::planner
