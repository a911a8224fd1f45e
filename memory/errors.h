#pragma once

#include "model/error.h"

namespace tandem::memory {

/// The code wants more of an arena than the plan gave: plan and code disagree.
class PlanViolated : public Error {
 public:
  using Error::Error;
};

/// The system refuses memory that the plan counts on.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

}  // namespace tandem::memory
