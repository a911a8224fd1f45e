#include "daemon/options.h"

#include <iostream>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/manual/completions.h"
#include "planner/names.h"

namespace tandem::daemon {

namespace {

using nlohmann::json;

constexpr int kUsageError = 1;

/// A flag that sets a configuration key, given as a JSON pointer.
template <typename Value>
void add(CLI::App& app, const std::string& flag, const std::string& value_name, const char* key, json& flags,
         const std::string& help) {
  app.add_option_function<Value>(
         flag, [&flags, key](const Value& value) { flags[json::json_pointer(key)] = value; }, help)
      ->type_name(value_name);
}

void add_flags(CLI::App& app, json& flags) {
  using Text = std::string;
  using Number = std::uint64_t;
  add<Text>(app, "--model", "FILE", "/model", flags, "GGUF file, or the first part of a split one");
  add<Text>(app, "--plan", "FILE", "/plan", flags, "plan to execute, as written by tandem plan --json");
  add<Text>(app, "--socket", "FILE", "/socket/path", flags, "path of the Unix socket");
  add<Text>(app, "--listen", "ADDRESS:PORT", "/listen/address", flags,
            "TCP port besides the socket, e.g. 127.0.0.1:8080");
  add<Text>(app, "--api-key-file", "FILE", "/listen/api_key_file", flags,
            "who may use the port: lines \"LABEL KEY\"");
  add<Text>(app, "--vram", "SIZE", "/budget/vram", flags, "VRAM allowed, e.g. 12GiB");
  add<Text>(app, "--ram", "SIZE", "/budget/ram", flags, "RAM allowed, e.g. 64GiB");
  add<Number>(app, "--context", "TOKENS", "/workload/context", flags, "tokens a sequence can hold");
  add<Number>(app, "--sequences", "COUNT", "/workload/sequences", flags, "sequences that run at once");
  add<Number>(app, "--micro-batch", "ROWS", "/workload/micro_batch", flags, "rows of a micro-batch");
  add<Text>(app, "--kv-type", manual::choice_of(planner::kKvTypeNames), "/workload/kv_type", flags,
            "element type of KV");
  add<Text>(app, "--head-type", manual::choice_of(planner::kHeadTypeNames), "/workload/head_type", flags,
            "what an F32, F16 or BF16 head is stored as when it is loaded");
  add<Text>(app, "--devices", "auto|cpu|emulated", "/devices", flags,
            "what the plan may use; emulated: the CPU and a GPU made of threads, to test with");
  add<Number>(app, "--threads", "COUNT", "/threads", flags, "CPU threads; 0: one for each physical core");
  add<Number>(app, "--grace", "SECONDS", "/grace_s", flags, "that running requests get at SIGTERM");
  add<Text>(app, "--log-level", "debug|info|warn|error", "/log_level", flags, "what is worth a line");
}

}  // namespace

std::variant<Options, int> read_options(int argc, const char* const* argv) {
  CLI::App app("Serve one Gemma model over a Unix socket", "tandemd");
  app.footer(
      "Flags override the configuration file, which overrides the defaults.\n"
      "Exit: 0 ended as asked, 1 usage or configuration, 2 the plan does not fit, 3 bad model, 4 failed.");
  app.set_version_flag("--version", TANDEM_VERSION);
  Options options;
  std::string shell;
  app.add_option("--config", options.config, "configuration file, JSON with comments")->type_name("FILE");
  add_flags(app, options.flags);
  app.add_option("--completions", shell, "print the script by which a shell completes these options, and end")
      ->type_name(std::string(manual::kShells));
  app.add_flag_callback(
      "--no-calibrate", [&options] { options.flags["calibrate"] = false; },
      "do not measure a machine that was never measured");
  auto* const calibrate = app.add_flag_callback(
      "--calibrate", [&options] { options.task = Task::calibrate; },
      "measure this machine, print its profile and end (what tandem calibrate runs)");
  app.add_flag_callback(
         "--quick", [&options] { options.task = Task::calibrate_quickly; },
         "as at a first start: in seconds, less exactly")
      ->needs(calibrate);
  try {
    app.parse(argc, argv);
    if (shell.empty()) return options;
    std::cout << manual::completion(manual::describe(app, {}), shell) << std::flush;
    return 0;
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : kUsageError;
  } catch (const std::invalid_argument& error) {
    std::cerr << "tandemd: " << error.what() << "\n";
    return kUsageError;
  }
}

}  // namespace tandem::daemon
