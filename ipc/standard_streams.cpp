#include "ipc/standard_streams.h"

#include <cstdio>
#include <fcntl.h>
#include <iostream>
#include <unistd.h>
#include <utility>

namespace tandem::ipc {

void occupy_standard_streams() noexcept {
  // The wrong way round: who uses them learns that they are closed.
  for (const auto& [stream, mode] : {std::pair{STDIN_FILENO, O_WRONLY}, std::pair{STDOUT_FILENO, O_RDONLY},
                                     std::pair{STDERR_FILENO, O_RDONLY}}) {
    // The lowest free number is given out, so those before are taken.
    if (::fcntl(stream, F_GETFD) < 0 && ::open("/dev/null", mode) != stream) return;
  }
}

bool standard_output_is_written() {
  std::cout.flush();
  return std::cout.good() && std::fflush(stdout) == 0 && std::ferror(stdout) == 0;
}

}  // namespace tandem::ipc
