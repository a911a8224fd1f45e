#include "cli/daemon.h"

#include <atomic>

#include "ipc/unix_socket.h"
#include "model/error.h"

namespace tandem::cli {

namespace {

std::atomic<ipc::Client*> awaited{nullptr};
volatile std::sig_atomic_t interrupted = 0;

void on_interrupt(int) {
  interrupted = 1;
  if (auto* const client = awaited.load()) client->interrupt();
}

}  // namespace

void add_socket_option(CLI::App& app, std::string& path) {
  app.add_option("--socket", path, "the daemon's socket [$TANDEM_SOCKET, else its default path]")
      ->type_name("FILE")
      ->envname("TANDEM_SOCKET");
}

CLI::Option* add_think_option(CLI::App& app, std::optional<bool>& think, const std::string& more) {
  return app.add_flag_function(
      "--think,!--no-think", [&think](std::int64_t count) { think = count > 0; },
      "whether the model thinks before it answers" + more + " [no]");
}

ipc::Client connect_to_daemon(const std::string& path, std::chrono::milliseconds patience) {
  return ipc::Client(path.empty() ? ipc::default_socket_path() : path, patience);
}

ipc::Json health_of(ipc::Client& client) {
  const auto reply = client.get("/health");
  auto health = ipc::Json::parse(reply.body, nullptr, false);
  return health.is_object() && health.contains("status") ? health : ipc::json_of(reply);
}

std::string to_body(const ipc::Json& request) {
  try {
    return request.dump();
  } catch (const ipc::Json::type_error&) {
    throw Error("the text is not valid UTF-8");
  }
}

CtrlC::CtrlC(ipc::Client& client) {
  interrupted = 0;
  awaited = &client;
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  sigemptyset(&action.sa_mask);
  ::sigaction(SIGINT, &action, &before_);
}

CtrlC::~CtrlC() {
  ::sigaction(SIGINT, &before_, nullptr);
  awaited = nullptr;
}

bool CtrlC::pressed() noexcept {
  return interrupted != 0;
}

}  // namespace tandem::cli
