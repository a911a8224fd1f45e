#pragma once

namespace tandem::ipc {

/// For the start of a program: standard input, output and error that it was started without are opened, as
/// what cannot be read or written.  Else the next file or connection gets the number, and with it what is
/// printed.
void occupy_standard_streams() noexcept;

/// For its end: what is printed goes to a buffer first, and that it could not be written, as on a full disk,
/// shows here at last.
[[nodiscard]] bool standard_output_is_written();

}  // namespace tandem::ipc
