#pragma once

#include "model/error.h"

namespace tandem::planner {

/// The question cannot be asked: a size, count or name out of range (exit code 1).
class BadQuestion : public Error {
 public:
  using Error::Error;
};

/// A plan file that is damaged or contradicts itself, or does not belong to the model at hand.
class BadPlan : public Error {
 public:
  using Error::Error;
};

/// A machine profile with a missing, unknown or absurd number (exit code 1).
class BadProfile : public BadQuestion {
 public:
  using BadQuestion::BadQuestion;
};

}  // namespace tandem::planner
