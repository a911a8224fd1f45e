#include "cli/child_task.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/start_tandemd.h"
#include "ipc/unix_socket.h"
#include "model/error.h"

namespace tandem::cli {
namespace {

struct Pipe {
  ipc::Fd read;
  ipc::Fd write;
};

Pipe open_pipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw Error(std::string("cannot make a pipe: ") + ::strerror(errno));
  return {ipc::Fd(ends[0]), ipc::Fd(ends[1])};
}

std::string read_all(const ipc::Fd& from) {
  std::string text;
  char piece[4096];
  while (true) {
    const auto read = ::read(from.get(), piece, sizeof piece);
    if (read < 0 && errno == EINTR) continue;
    if (read <= 0) return text;
    text.append(piece, static_cast<std::size_t>(read));
  }
}

/// The exit code of `child`; -1 where a signal ended it.
int exit_code_of(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

std::string run_tandemd(const std::vector<std::string>& flags) {
  auto pipe = open_pipe();
  const auto child = start_tandemd(flags, pipe.write.get(), STDERR_FILENO);
  pipe.write = ipc::Fd();
  auto text = read_all(pipe.read);
  const auto code = exit_code_of(child);
  if (code == kCannotStart) throw Error("cannot start the tandemd beside this program");
  if (code != 0) throw Error("tandemd did not finish its task");
  return text;
}

}  // namespace tandem::cli
