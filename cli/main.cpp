#include <iostream>
#include <vector>

#include "cli/commands.h"
#include "ipc/service.h"
#include "ipc/unix_socket.h"
#include "model/error.h"
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

int parse_and_run(int argc, char** argv) {
  CLI::App app("Plan, run and watch large models on one machine.", "tandem");
  app.set_version_flag("--version", TANDEM_VERSION, "print the version");
  app.require_subcommand(1);
  const std::vector<tandem::cli::Command> commands{
      tandem::cli::plan_command(app),       tandem::cli::inspect_command(app),
      tandem::cli::run_command(app),        tandem::cli::chat_command(app),
      tandem::cli::ps_command(app),         tandem::cli::top_command(app),
      tandem::cli::stop_command(app),       tandem::cli::wait_command(app),
      tandem::cli::bench_command(app),      tandem::cli::calibrate_command(app),
      tandem::cli::perplexity_command(app), tandem::cli::completions_command(app),
      tandem::cli::manual_command(app)};
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? tandem::cli::kOk : tandem::cli::kUsage;
  }
  return run(commands);
}

}  // namespace

/// Edge of the program: every error becomes a line and an exit code.
int main(int argc, char** argv) {
  try {
    return parse_and_run(argc, argv);
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
