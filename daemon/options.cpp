#include "daemon/options.h"

#include <algorithm>
#include <iostream>
#include <limits>
#include <stdexcept>
#include <string>

#include <CLI/CLI.hpp>

#include "cli/manual/completions.h"
#include "cli/manual/usage_error.h"
#include "daemon/config_keys.h"
#include "daemon/manual_pages.h"
#include "model/nearest.h"
#include "planner/errors.h"
#include "planner/sweep.h"

namespace tandem::daemon {

namespace {

using nlohmann::json;

constexpr int kUsageError = 1;

/// A flag that sets a configuration key, and is explained by it.
template <typename Value>
CLI::Option* add(CLI::App& app, const std::string& flag, const std::string& key_name, json& flags) {
  const auto& key = config_key(key_name);
  std::string pointer = "/" + key_name;
  std::ranges::replace(pointer, '.', '/');
  return app
      .add_option_function<Value>(
          flag, [&flags, pointer](const Value& value) { flags[json::json_pointer(pointer)] = value; },
          key.about)
      ->type_name(key.value)
      ->check([](const std::string& value) { return value.empty() ? "must not be empty" : std::string(); },
              "");
}

/// "8k" as `tandem plan` takes it, in digits; what is no count of tokens stays what it is.
std::string in_digits(const std::string& tokens) {
  try {
    return std::to_string(planner::parse_tokens("", tokens, std::numeric_limits<std::uint64_t>::max()));
  } catch (const planner::BadQuestion&) {
    return tokens;
  }
}

void add_flags(CLI::App& app, json& flags) {
  using Text = std::string;
  using Number = std::int64_t;  // of a number without a sign CLI11 makes 2^64 - 1 of "-1"
  add<Text>(app, "--model", "model", flags);
  add<Text>(app, "--plan", "plan", flags);
  add<Text>(app, "--socket", "socket.path", flags);
  add<Text>(app, "--listen", "listen.address", flags);
  add<Text>(app, "--api-key-file", "listen.api_key_file", flags);
  add<Text>(app, "--vram", "budget.vram", flags);
  add<Text>(app, "--ram", "budget.ram", flags);
  add<Number>(app, "--context", "workload.context", flags)->transform(in_digits, "");
  add<Number>(app, "--sequences", "workload.sequences", flags);
  add<Number>(app, "--micro-batch", "workload.micro_batch", flags);
  add<Text>(app, "--kv-type", "workload.kv_type", flags);
  add<Text>(app, "--head-type", "workload.head_type", flags);
  add<Number>(app, "--stream-rows", "workload.stream_rows", flags);
  add<Text>(app, "--cpu-weights", "workload.cpu_weights", flags);
  add<Text>(app, "--optimise", "workload.optimise", flags);
  add<Number>(app, "--expect-context", "workload.expected_context", flags)->transform(in_digits, "");
  add<Text>(app, "--devices", "devices", flags);
  add<Number>(app, "--threads", "threads", flags);
  add<Number>(app, "--grace", "grace_s", flags);
  add<Text>(app, "--log-level", "log_level", flags);
}

void add_tasks(CLI::App& app, Options& options) {
  app.add_flag_callback(
      "--no-calibrate", [&options] { options.flags["calibrate"] = false; },
      "do not measure a machine that was never measured");
  auto* const calibrate = app.add_flag_callback(
      "--calibrate", [&options] { options.task = Task::calibrate; },
      "measure this machine, print its profile and end (what tandem calibrate runs)");
  auto* const quick = app.add_flag_callback(
      "--quick", [&options] { options.task = Task::calibrate_quickly; },
      "as at a first start: in seconds, less exactly");
  auto* const memory = app.add_flag_callback(
      "--memory", [&options] { options.task = Task::measure_memory; },
      "only how fast --threads threads read memory (what tandem bench compares with)");
  quick->needs(calibrate)->excludes(memory);
  memory->needs(calibrate);
  app.add_flag_callback(
         "--list-devices", [&options] { options.task = Task::list_devices; },
         "print what this machine has to compute with and end (what tandem devices shows)")
      ->excludes(calibrate);
}

/// What tandemd may be asked to print instead of serving.
struct Papers {
  std::string shell;
  std::string page;
};

void add_papers(CLI::App& app, Papers& papers) {
  app.add_option("--completions", papers.shell, "print the script by which a shell completes these options")
      ->type_name(std::string(manual::kShells));
  app.add_option("--manual", papers.page, "print a man page")->type_name(std::string(kManualPages));
}

/// True if something was asked for, which is then printed.
bool print(const CLI::App& app, const Papers& papers) {
  const auto program = manual::describe(app, {});
  if (!papers.shell.empty()) std::cout << manual::completion(program, papers.shell) << std::flush;
  if (!papers.page.empty()) std::cout << manual_page(program, papers.page) << std::flush;
  return !papers.shell.empty() || !papers.page.empty();
}

}  // namespace

std::variant<Options, int> read_options(int argc, const char* const* argv) {
  CLI::App app("Serve one Gemma model over a Unix socket", "tandemd");
  app.footer(
      "Options override the configuration file, which overrides the defaults.\n"
      "Exit: 0 ended as asked, 1 usage or configuration, 2 the plan does not fit, 3 bad model, 4 failed.");
  app.set_version_flag("--version", TANDEM_VERSION, "print the version");
  Options options;
  Papers papers;
  app.add_option("--config", options.config, "configuration file, JSON with comments")->type_name("FILE");
  add_flags(app, options.flags);
  add_papers(app, papers);
  add_tasks(app, options);
  try {
    app.parse(argc, argv);
    if (print(app, papers)) return 0;
    return options;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << manual::usage_error(app, error, model::nearest<std::vector<std::string>>);
    return kUsageError;
  } catch (const std::invalid_argument& error) {
    std::cerr << "tandemd: " << error.what() << "\n";
    return kUsageError;
  }
}

}  // namespace tandem::daemon
