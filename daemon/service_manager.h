#pragma once

#include <string_view>

namespace tandem::daemon {

/// Tells the service manager that started the daemon what has become of it, as sd_notify(3) has it:
/// "READY=1", "STOPPING=1", "STATUS=what systemctl status shows".  Without one, or where it does not take it,
/// nothing happens.
void tell_service_manager(std::string_view state) noexcept;

}  // namespace tandem::daemon
