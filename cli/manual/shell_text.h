#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tandem::manual {

/// `text` with each `from` replaced by `to`.
std::string replaced(std::string text, std::string_view from, std::string_view to);

/// In single quotes, as bash and zsh read them.
std::string shell_quoted(const std::string& text);

/// `words` with `separator` between.
std::string joined(const std::vector<std::string>& words, std::string_view separator);

}  // namespace tandem::manual
