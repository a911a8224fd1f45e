#pragma once

namespace tandem::ipc {

/// For the start of a program: standard input, output and error that it was started without are opened, as
/// what cannot be read or written.  Else the next file or connection gets the number, and with it what is
/// printed.
void occupy_standard_streams() noexcept;

}  // namespace tandem::ipc
