#pragma once

#include <string>
#include <string_view>

#include "cli/manual/description.h"

namespace tandem::daemon {

/// The pages there are, as a type name.
inline constexpr std::string_view kManualPages = "tandemd|tandem-config";

/// The man page called `page`, one of kManualPages; `program` are tandemd's options.  Throws
/// std::invalid_argument for another.
std::string manual_page(const manual::Command& program, std::string_view page);

}  // namespace tandem::daemon
