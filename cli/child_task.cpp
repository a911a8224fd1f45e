#include "cli/child_task.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

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
  const auto program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "tandemd").string();
  std::vector<std::string> words{program};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  auto pipe = open_pipe();
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0) throw Error("cannot start " + program + ": " + ::strerror(errno));
  if (child == 0) {  // only calls what is safe after fork
    ::prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (::getppid() != parent) ::_exit(kCannotStart);
    ::dup2(pipe.write.get(), STDOUT_FILENO);
    ::execv(program.c_str(), arguments.data());
    ::_exit(kCannotStart);
  }
  pipe.write = ipc::Fd();
  auto text = read_all(pipe.read);
  const auto code = exit_code_of(child);
  if (code == kCannotStart) throw Error("cannot start " + program);
  if (code != 0) throw Error("tandemd did not finish its task");
  return text;
}

}  // namespace tandem::cli
