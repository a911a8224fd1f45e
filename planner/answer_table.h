#pragma once

#include <string>

#include "planner/questions.h"

namespace tandem::planner {

/// An answer for a terminal of 80 columns: what was asked and searched, and a line for each row.  ASCII; no
/// line is longer than 80 characters but a model's name.
std::string answer_table(const Answer& answer);

}  // namespace tandem::planner
