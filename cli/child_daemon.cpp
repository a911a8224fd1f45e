#include "cli/child_daemon.h"

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <spawn.h>
#include <sstream>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "ipc/client.h"
#include "ipc/unix_socket.h"
#include "model/error.h"

namespace tandem::cli {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);

std::filesystem::path private_directory() {
  auto name = (std::filesystem::temp_directory_path() / "tandem-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    throw Error("cannot make a private folder: " + std::string(strerror(errno)));
  return name;
}

}  // namespace

ChildDaemon::ChildDaemon(const std::vector<std::string>& flags)
    : directory_(private_directory()), socket_((directory_ / "tandem.sock").string()) {
  try {
    start(flags);
    wait_until_ready();
  } catch (...) {
    stop();
    throw;
  }
}

ChildDaemon::~ChildDaemon() {
  stop();
}

void ChildDaemon::start(const std::vector<std::string>& flags) {
  const auto program = (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "tandemd").string();
  std::vector<std::string> words{program, "--socket", socket_};
  words.insert(words.end(), flags.begin(), flags.end());
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  const auto log_path = (directory_ / "log").string();
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, log_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0600);
  posix_spawn_file_actions_adddup2(&actions, STDERR_FILENO, STDOUT_FILENO);
  const int failed = posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (failed == 0) return;
  pid_ = -1;
  throw Error("cannot start " + program + ": " + strerror(failed));
}

void ChildDaemon::wait_until_ready() {
  while (true) {
    if (ended()) throw Error("tandemd ended before it served:\n" + log());
    try {
      if (ipc::Client(socket_).get("/health").status == 200) return;
    } catch (const ipc::SocketError&) {
      // It does not listen yet.
    }
    std::this_thread::sleep_for(kPoll);
  }
}

bool ChildDaemon::ended() {
  if (waitpid(pid_, nullptr, WNOHANG) != pid_) return false;
  pid_ = -1;
  return true;
}

void ChildDaemon::stop() noexcept {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
}

std::string ChildDaemon::log() const {
  std::ifstream file(directory_ / "log");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

}  // namespace tandem::cli
