#include "cli/start_tandemd.h"

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <sys/prctl.h>
#include <unistd.h>

#include "model/error.h"

namespace tandem::cli {

pid_t start_tandemd(const std::vector<std::string>& flags, int output, int errors) {
  const auto program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "tandemd").string();
  std::vector<std::string> words{program};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  arguments.reserve(words.size() + 1);
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const auto parent = ::getpid();
  const auto child = ::fork();
  if (child < 0) throw Error("cannot start " + program + ": " + ::strerror(errno));
  if (child > 0) return child;
  // Only what is safe after fork.
  ::prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (::getppid() != parent) ::_exit(kCannotStart);
  ::dup2(output, STDOUT_FILENO);
  ::dup2(errors, STDERR_FILENO);
  ::execv(program.c_str(), arguments.data());
  ::_exit(kCannotStart);
}

}  // namespace tandem::cli
