#include <cstdio>
#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/duration_text.h"
#include "ipc/service.h"

namespace tandem::cli {
namespace {

using ipc::Json;
using ipc::OrderedJson;

struct PsOptions {
  std::string socket;
  bool json = false;
};

/// What the daemon says of itself; while it loads there is no model yet.
OrderedJson status_of(ipc::Client& client) {
  OrderedJson status = {{"pid", client.daemon().pid}, {"health", health_of(client)}, {"model", nullptr}};
  const auto models = client.get("/v1/models");
  if (models.status == 200) status["model"] = OrderedJson::parse(models.body).at("data").at(0);
  status["requests"] = OrderedJson(ipc::json_of(client.get("/v1/requests"))).at("data");
  return status;
}

std::string headline(const OrderedJson& status) {
  const OrderedJson& health = status["health"];
  std::string line = "tandemd " + health.value("version", "") + ", pid " + status["pid"].dump() + ", " +
                     health.value("status", "");
  if (health.value("status", "") == "loading") {
    line += " " + std::to_string(static_cast<int>(health.value("load_progress", 0.0) * 100.0)) + "%";
  }
  line += ", up " + duration_text(health.value("uptime_s", std::uint64_t{0}));
  const OrderedJson& model = status["model"];
  if (model.is_null()) return line;
  line += "\nmodel " + model.value("id", "") + ", context " + model.at("max_model_len").dump() + " tokens";
  return model.value("noise", false) ? line + ", random weights: answers are noise" : line;
}

void print_row(const OrderedJson& request) {
  const auto count = [&request](const char* name) { return request.at(name).dump(); };
  std::printf("%-32s %-16s %-8s %15s %15s %10s\n", request.value("id", "").c_str(),
              request.value("owner", "").c_str(), request.value("state", "").c_str(),
              (count("prompt_tokens_done") + "/" + count("prompt_tokens")).c_str(),
              (count("completion_tokens") + "/" + count("max_tokens")).c_str(),
              duration_text(request.value("age_us", std::uint64_t{0}) / 1'000'000).c_str());
}

int run(const PsOptions& options) {
  ipc::Client client = connect_to_daemon(options.socket);
  const OrderedJson status = status_of(client);
  if (options.json) {
    std::cout << ipc::to_text(status) << "\n";
    return kOk;
  }
  std::printf("%s\n", headline(status).c_str());
  if (status["requests"].empty()) {
    std::printf("no requests\n");
    return kOk;
  }
  std::printf("\n%-32s %-16s %-8s %15s %15s %10s\n", "REQUEST", "OWNER", "STATE", "PROMPT", "ANSWER", "AGE");
  for (const OrderedJson& request : status["requests"]) print_row(request);
  return kOk;
}

}  // namespace

Command ps_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("ps", "Show the daemon, its model and the requests it works on");
  app->footer(std::string("PROMPT and ANSWER count tokens: done/all, generated/at most.\n") +
              kDaemonExitCodes);
  const auto options = std::make_shared<PsOptions>();
  add_socket_option(*app, options->socket);
  app->add_flag("--json", options->json, "print it as JSON");
  return {app, [options] { return run(*options); }};
}

}  // namespace tandem::cli
