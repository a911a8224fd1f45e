#include "cli/child_daemon.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <sys/mman.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>

#include "cli/command.h"
#include "cli/manual/description.h"
#include "cli/start_tandemd.h"
#include "ipc/client.h"
#include "ipc/unix_socket.h"
#include "model/error.h"
#include "planner/names.h"

namespace tandem::cli {

namespace {

constexpr auto kPoll = std::chrono::milliseconds(20);

std::filesystem::path private_directory() {
  auto name = (std::filesystem::temp_directory_path() / "tandem-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr)
    throw Error("cannot make a private folder: " + std::string(strerror(errno)));
  return name;
}

constexpr std::array kClearedAfter{SIGINT, SIGTERM, SIGHUP};

// What lies in the file system: a signal may come at any time, and its handler may only call what is safe
// then.
std::atomic<const char*> socket_path{nullptr};
std::atomic<const char*> folder_path{nullptr};

/// Ends this process as if the signal had not been handled.
void clear_away_and_end(int signal) {
  if (const char* const path = socket_path) ::unlink(path);
  if (const char* const path = folder_path) ::rmdir(path);
  std::signal(signal, SIG_DFL);
  ::raise(signal);
}

/// A signal that this process was started to ignore stays ignored.
void handle_ending(void (*from)(int), void (*to)(int)) {
  for (const int signal : kClearedAfter) {
    struct sigaction action {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == from) std::signal(signal, to);
  }
}

}  // namespace

void add_storage_options(CLI::App& app, StorageOptions& storage) {
  app.add_option("--kv-type", storage.kv_type, "element type of KV")
      ->type_name(manual::choice_of(planner::kKvTypeNames))
      ->capture_default_str();
  app.add_option("--cpu-weights", storage.cpu_weights, "how the CPU's matrices lie in memory")
      ->type_name(manual::choice_of(planner::kCpuWeightsNames))
      ->capture_default_str();
}

ChildDaemon::ChildDaemon(const std::vector<std::string>& flags)
    : directory_(private_directory()),
      socket_((directory_ / "tandem.sock").string()),
      log_(memfd_create("tandemd.log", MFD_CLOEXEC)) {
  socket_path = socket_.c_str();
  folder_path = directory_.c_str();
  handle_ending(SIG_DFL, clear_away_and_end);
  try {
    if (!log_) throw Error("cannot keep the daemon's log: " + std::string(strerror(errno)));
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
  std::vector<std::string> all{"--socket", socket_, "--no-calibrate"};
  all.insert(all.end(), flags.begin(), flags.end());
  pid_ = start_tandemd(all, log_.get(), log_.get());
}

void ChildDaemon::wait_until_ready() {
  while (true) {
    if (const auto status = ended()) refuse(*status);
    try {
      if (ipc::Client(socket_).get("/health").status == 200) return;
    } catch (const ipc::SocketError&) {
      // It does not listen yet.
    }
    std::this_thread::sleep_for(kPoll);
  }
}

std::optional<int> ChildDaemon::ended() {
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return std::nullopt;
  pid_ = -1;
  return status;
}

void ChildDaemon::refuse(int status) const {
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  if (code == kCannotStart) throw Error("cannot start the tandemd beside this program");
  const auto what = "tandemd ended before it served:\n" + log();
  if (code == kBadModel) throw model::UnsupportedModel(what);
  throw Error(what);
}

void ChildDaemon::stop() noexcept {
  if (pid_ > 0) {
    kill(pid_, SIGTERM);
    waitpid(pid_, nullptr, 0);
  }
  std::error_code ignored;
  std::filesystem::remove_all(directory_, ignored);
  handle_ending(clear_away_and_end, SIG_DFL);
  socket_path = nullptr;
  folder_path = nullptr;
}

std::uint64_t ChildDaemon::resident_bytes() const {
  std::ifstream file("/proc/" + std::to_string(pid_) + "/statm");
  std::uint64_t size_pages = 0;
  std::uint64_t resident_pages = 0;
  file >> size_pages >> resident_pages;
  return file ? resident_pages * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE)) : 0;
}

std::string ChildDaemon::log() const {
  std::string text;
  char piece[4096];
  while (true) {
    const auto read = pread(log_.get(), piece, sizeof piece, static_cast<off_t>(text.size()));
    if (read <= 0) return text;
    text.append(piece, static_cast<std::size_t>(read));
  }
}

}  // namespace tandem::cli
