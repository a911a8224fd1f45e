#pragma once

#include <optional>

#include "daemon/engine/request.h"
#include "ipc/service.h"

namespace tandem::daemon {

/// What the wire's opaque AnswerRules are here.
struct EngineRules final : ipc::AnswerRules {
  std::optional<engine::ChatReading> chat;
  std::optional<engine::Constraint> constraint;
};

}  // namespace tandem::daemon
