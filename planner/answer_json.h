#pragma once

#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "planner/questions.h"

namespace tandem::planner {

/// Answers about one or more models as config/answer.schema.json describes them, keys in that order.
nlohmann::ordered_json answers_to_json(const std::vector<Answer>& answers);

/// The same as text, ends with a newline.
std::string answers_to_text(const std::vector<Answer>& answers);

}  // namespace tandem::planner
