#pragma once

#include "planner/model_input.h"
#include "planner/placement.h"
#include "planner/plan.h"

namespace tandem::planner {

/// The placement that a plan's layers and head describe.
Placement placement_of(const Plan& plan);

/// Throws BadField, with the key's path, where parts of a plan contradict each other (plan_json.h,
/// parse_plan).
void check_consistency(const Plan& plan);

/// Throws BadPlan where `plan` is not what this planner would compute for the model and the plan's own
/// placement, workload and budget: facts, cells, layouts and every arena line.  The driver line is taken as
/// it stands.
void check_plan(const Plan& plan, const ModelInput& model);

}  // namespace tandem::planner
