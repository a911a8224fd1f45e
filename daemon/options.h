#pragma once

#include <filesystem>
#include <optional>
#include <variant>

#include <nlohmann/json.hpp>

namespace tandem::daemon {

/// What tandemd is started for.
enum class Task { serve, calibrate, calibrate_quickly, measure_memory, list_devices };

/// The command line of tandemd.
struct Options {
  Task task = Task::serve;
  std::optional<std::filesystem::path> config;
  nlohmann::json flags = nlohmann::json::object();  ///< with the keys of config/default.json
};

/// The command line, or the exit code where it asked for help or cannot be understood (said on stdout or
/// stderr).
std::variant<Options, int> read_options(int argc, const char* const* argv);

}  // namespace tandem::daemon
