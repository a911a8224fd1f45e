#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace tandem::cli {

inline constexpr std::size_t kMaxPromptFileBytes = std::size_t{1} << 20;
inline constexpr std::size_t kMaxPromptFiles = 32;

/// `prompt`, and after it each file's name and text, a blank line between: "PROMPT\n\nnotes.txt:\nTEXT".  "-"
/// is standard input, without a name.  Throws Error for what cannot be read, is no UTF-8 text or over a
/// limit; nothing is ever cut short.
std::string with_files(std::string prompt, const std::vector<std::string>& files);

}  // namespace tandem::cli
