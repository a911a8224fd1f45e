#pragma once

#include <string>
#include <string_view>

namespace tandem::ipc {

/// A name that nothing else has: `prefix` and 24 random letters and digits ("call_..." of OpenAI, "toolu_..."
/// of Anthropic).  Any thread.
std::string new_id(std::string_view prefix);

}  // namespace tandem::ipc
