#pragma once

#include "cli/manual/description.h"

namespace tandem::cli {

/// What `tandem` takes; `program` has all its commands.
manual::Command description_of(const CLI::App& program);

}  // namespace tandem::cli
