#include <cstdio>
#include <iostream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/manual/usage_error.h"
#include "ipc/service.h"
#include "ipc/standard_streams.h"
#include "ipc/unix_socket.h"
#include "model/error.h"
#include "model/nearest.h"
#include "planner/errors.h"

namespace {

using tandem::cli::ExitCode;

int report(const tandem::Error& error, ExitCode code) {
  std::cerr << "tandem: " << error.what() << "\n";
  if (!error.hint().empty()) std::cerr << "tandem: " << error.hint() << "\n";
  return code;
}

int run(const std::vector<tandem::cli::Command>& commands) {
  for (const auto& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return tandem::cli::kUsage;
}

/// What was typed where a command belongs, if it is none.
void refuse_unknown_command(const CLI::App& app, const std::vector<tandem::cli::Command>& commands) {
  const auto typed = app.remaining();
  if (typed.empty() || typed.front().starts_with('-')) return;
  std::vector<std::string> names;
  for (const auto& command : commands) names.push_back(command.app->get_name());
  throw tandem::Error("there is no command \"" + typed.front() + "\"",
                      "did you mean " + std::string(tandem::model::nearest(typed.front(), names)) +
                          "?  tandem --help lists all");
}

/// An empty value, as of a shell's variable that is not set, would be taken for an option that is not given,
/// or for 0.  Only a text may be empty.
void refuse_empty_values(CLI::App& app) {
  const auto refuse = [](const std::string& value) {
    return value.empty() ? "must not be empty" : std::string();
  };
  const auto is_no_text = [](const CLI::Option* option) {
    return option->get_items_expected() > 0 && option->get_type_name() != "TEXT";
  };
  for (auto* const option : app.get_options(is_no_text)) option->check(refuse, "");
  for (auto* const group : app.get_subcommands({})) refuse_empty_values(*group);
}

int parse_and_run(int argc, char** argv) {
  CLI::App app("Plan, run and watch large models on one machine.", "tandem");
  app.set_version_flag("--version", TANDEM_VERSION, "print the version");
  app.require_subcommand(1);
  const std::vector<tandem::cli::Command> commands{
      tandem::cli::plan_command(app),        tandem::cli::inspect_command(app),
      tandem::cli::run_command(app),         tandem::cli::chat_command(app),
      tandem::cli::ps_command(app),          tandem::cli::top_command(app),
      tandem::cli::stop_command(app),        tandem::cli::wait_command(app),
      tandem::cli::bench_command(app),       tandem::cli::calibrate_command(app),
      tandem::cli::devices_command(app),     tandem::cli::perplexity_command(app),
      tandem::cli::completions_command(app), tandem::cli::manual_command(app)};
  for (const auto& command : commands) refuse_empty_values(*command.app);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_name() == "RequiredError" && app.get_subcommands().empty()) {
      refuse_unknown_command(app, commands);
    }
    if (error.get_exit_code() == 0) return app.exit(error);
    std::cerr << tandem::manual::usage_error(app, error, tandem::model::nearest<std::vector<std::string>>);
    return tandem::cli::kUsage;
  }
  return run(commands);
}

}  // namespace

/// Edge of the program: every error becomes a line and an exit code.
int main(int argc, char** argv) {
  tandem::ipc::occupy_standard_streams();
  try {
    const int code = parse_and_run(argc, argv);
    if (tandem::ipc::standard_output_is_written()) return code;
    throw tandem::Error("standard output could not be written to its end");
  } catch (const tandem::model::BadModel& error) {
    return report(error, tandem::cli::kBadModel);
  } catch (const tandem::model::UnsupportedModel& error) {
    return report(error, tandem::cli::kBadModel);
  } catch (const tandem::Error& error) {
    return report(error, tandem::cli::kUsage);
  } catch (const tandem::ipc::SocketError& error) {
    return report(tandem::Error(error.what()), tandem::cli::kNoDaemon);
  } catch (const tandem::ipc::RequestError& error) {
    return report(tandem::Error(error.what()), tandem::cli::kRefused);
  } catch (const std::exception& error) {
    return report(tandem::Error(error.what()), tandem::cli::kUsage);
  }
}
