#include <algorithm>
#include <csignal>
#include <cstdio>
#include <iostream>
#include <memory>
#include <poll.h>
#include <string>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/ink.h"
#include "cli/screen.h"
#include "cli/status_view.h"

namespace tandem::cli {
namespace {

constexpr std::chrono::milliseconds kPeriod{1000};
constexpr std::size_t kManyRequests = 1000;

struct TopOptions {
  std::string socket;
  std::string color = "auto";
  bool once = false;
  bool json = false;
};

ipc::Json fetched_status(ipc::Client& client) {
  return ipc::json_of(client.get("/v1/status"));
}

/// As many requests as the rows of the terminal leave room for.
std::string fitted(const ipc::Json& status, planner::Ink ink) {
  std::string all = status_view(status, kManyRequests, ink);
  const auto lines = static_cast<std::size_t>(std::ranges::count(all, '\n'));
  const std::size_t rows = Screen::rows();
  if (lines <= rows) return all;
  const std::size_t requests = status.at("requests").size();
  const std::size_t others = lines - std::min(requests, kManyRequests);
  const std::size_t room = rows > others + 1 ? rows - others - 1 : 0;  // a line says how many more there are
  return status_view(status, room, ink);
}

/// Draws until a key or a signal ends it.
int watch(ipc::Client& client, planner::Ink ink) {
  Screen screen(client);
  while (Screen::ending_signal() == 0) {
    ipc::Json status;
    try {
      status = fetched_status(client);
    } catch (const ipc::ConnectionLost&) {
      if (Screen::ending_signal() == 0) throw;
      break;  // it is the signal that ended the exchange
    }
    Screen::Event event = Screen::Event::resized;
    while (event == Screen::Event::resized) {
      Screen::draw(fitted(status, ink));
      event = screen.wait(kPeriod);
    }
    if (event == Screen::Event::quit) break;
  }
  return Screen::ending_signal();
}

void print(const ipc::Json& status, const TopOptions& options, planner::Ink ink) {
  std::cout << (options.json ? status.dump() + "\n" : status_view(status, kManyRequests, ink)) << std::flush;
}

int print_for_ever(ipc::Client& client, const TopOptions& options, planner::Ink ink) {
  const CtrlC ctrl_c(client);
  while (!CtrlC::pressed() && std::cout) {  // what cannot be written is told where the program ends
    try {
      print(fetched_status(client), options, ink);
    } catch (const ipc::ConnectionLost&) {
      if (!CtrlC::pressed()) throw;
      break;
    }
    if (!options.json) std::cout << "\n";
    ::poll(nullptr, 0, static_cast<int>(kPeriod.count()));  // Ctrl-C ends it
  }
  return kInterrupted;
}

int run(const TopOptions& options) {
  const planner::Ink ink = ink_for(options.color);
  ipc::Client client = connect_to_daemon(options.socket);
  if (options.once) {
    print(fetched_status(client), options, ink);
    return kOk;
  }
  if (options.json || !can_draw()) return print_for_ever(client, options, ink);
  const int signal = watch(client, ink);
  if (signal == 0) return kOk;
  if (signal == SIGINT) return kInterrupted;
  return ::raise(signal);  // ends as the sender meant it, the terminal being restored
}

}  // namespace

Command top_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("top", "Watch what the daemon does: memory, layers, speed, requests");
  app->footer(
      std::string(
          "Drawn once a second; q ends it. Without a terminal, or at a dumb one, picture after picture.\n") +
      kDaemonExitCodes);
  const auto options = std::make_shared<TopOptions>();
  add_socket_option(*app, options->socket);
  app->add_flag("--once", options->once, "print one picture and end");
  app->add_flag("--json", options->json, "print GET /v1/status, a line a second");
  add_color_option(*app, options->color, "whether to colour; auto minds NO_COLOR");
  return {app, [options] { return run(*options); }};
}

}  // namespace tandem::cli
