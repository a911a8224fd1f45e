#pragma once

#include <optional>

#include "ipc/service.h"
#include "model/chat_template.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// What clients are told of a model that was planned for just now.  `chat` is nothing where there is no way
/// to chat with it.
ipc::ModelCard model_card(const model::Header& header, const planner::Plan& plan,
                          const model::Hyperparameters& hyper, const std::optional<model::ChatFormat>& chat);

}  // namespace tandem::daemon
