#pragma once

#include <map>
#include <string>
#include <string_view>

#include "cli/manual/description.h"

namespace tandem::manual {

// Parts of a man page in the language man(7) of roff.

/// `text` so that no letter of it means something to roff.
std::string roff(std::string_view text);

/// A tagged paragraph: `tag` in bold, `value` beside it, `text` below.  Words in capitals of `value` are
/// placeholders.  All as plain text.
std::string roff_entry(const std::string& tag, const std::string& value, const std::string& text);

/// The head of a subsection: `name`, and `about` it.
std::string roff_subsection(const std::string& name, const std::string& about);

/// An entry for each option of `command`.
std::string options_section(const Command& command);

/// A subsection for each command of `program`: how it is called, what it does, what it takes.
std::string commands_section(const Command& program);

/// `prose`, with "@NAME@" replaced by the text of NAME in `parts`: whole lines, or within one.
std::string man_page(std::string_view prose, const std::map<std::string, std::string>& parts);

}  // namespace tandem::manual
