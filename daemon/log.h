#pragma once

#include <string>

namespace tandem::daemon {

/// Lines of the log go to standard error, from `level` on: "debug", "info", "warn" or "error".  Where that is
/// systemd's journal, which keeps times and levels itself, a line begins with its level as sd-daemon(3) has
/// it.
void set_up_log(const std::string& level);

/// The last words of a daemon that cannot go on, or not even begin: what is wrong and, if not empty, a hint.
void say_why_it_ends(const std::string& what, const std::string& hint);

}  // namespace tandem::daemon
