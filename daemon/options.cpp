#include "daemon/options.h"

#include <string>

#include <CLI/CLI.hpp>

namespace tandem::daemon {

namespace {

using nlohmann::json;

constexpr int kUsageError = 1;

/// A flag that sets a configuration key, given as a JSON pointer.
template <typename Value>
void add(CLI::App& app, const std::string& flag, const char* key, json& flags, const std::string& help) {
  app.add_option_function<Value>(
      flag, [&flags, key](const Value& value) { flags[json::json_pointer(key)] = value; }, help);
}

}  // namespace

std::variant<Options, int> read_options(int argc, const char* const* argv) {
  CLI::App app(
      "tandemd serves one Gemma model over a Unix socket.\n"
      "Flags override the configuration file, which overrides config/default.json.\n"
      "Exit codes: 0 ended as asked, 1 usage or configuration, 2 the plan does not fit, 3 bad model, 4 "
      "failed.");
  app.set_version_flag("--version", TANDEM_VERSION);
  Options options;
  json& flags = options.flags;
  app.add_option("--config", options.config, "Configuration file, JSON with comments");
  add<std::string>(app, "--model", "/model", flags, "GGUF file, or the first part of a split one");
  add<std::string>(app, "--plan", "/plan", flags, "Plan to execute, as written by tandem plan --json");
  add<std::string>(app, "--socket", "/socket/path", flags, "Path of the Unix socket");
  add<std::string>(app, "--listen", "/listen/address", flags,
                   "TCP port besides the socket, e.g. 127.0.0.1:8080");
  add<std::string>(app, "--api-key-file", "/listen/api_key_file", flags,
                   "Who may use the port: lines \"LABEL KEY\"");
  add<std::string>(app, "--vram", "/budget/vram", flags, "VRAM allowed, e.g. 12GiB");
  add<std::string>(app, "--ram", "/budget/ram", flags, "RAM allowed, e.g. 64GiB");
  add<std::uint64_t>(app, "--context", "/workload/context", flags, "Tokens a sequence can hold");
  add<std::uint64_t>(app, "--sequences", "/workload/sequences", flags, "Sequences that run at once");
  add<std::uint64_t>(app, "--micro-batch", "/workload/micro_batch", flags, "Rows of a micro-batch");
  add<std::string>(app, "--kv-type", "/workload/kv_type", flags, "f16, q8_0 or f32");
  add<std::string>(app, "--head-type", "/workload/head_type", flags,
                   "Store a float head as q8_0 or q6_k at load, or keep it");
  add<std::string>(app, "--devices", "/devices", flags, "auto or cpu");
  add<std::uint64_t>(app, "--threads", "/threads", flags, "CPU threads; 0: one for each physical core");
  add<std::uint64_t>(app, "--grace", "/grace_s", flags, "Seconds that running requests get at SIGTERM");
  add<std::string>(app, "--log-level", "/log_level", flags, "debug, info, warn or error");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsageError;
  }
  return options;
}

}  // namespace tandem::daemon
