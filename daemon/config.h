#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "ipc/limits.h"
#include "model/error.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// A configuration that cannot be used: which key, what is wrong (exit code 1).
class BadConfig : public Error {
 public:
  using Error::Error;
};

struct SocketConfig {
  std::optional<std::filesystem::path> path;
  std::uint32_t mode = 0600;
  std::optional<std::string> group;
  std::vector<std::uint32_t> proxy_uids;
};

struct ListenConfig {
  std::optional<std::string> address;
  std::optional<std::filesystem::path> api_key_file;
  std::vector<std::string> hosts;
  std::vector<std::string> origins;
};

/// What tandemd runs with: config/default.json, over it the user's file, over both the command line.
struct Config {
  std::optional<std::filesystem::path> model;
  std::optional<std::filesystem::path> plan;
  std::string devices;
  planner::Budget budget;
  bool replan = false;  ///< with less VRAM than planned; else the start is refused
  std::optional<std::uint64_t> emulated_vram_bytes;  ///< of the emulated GPU; else the budget's
  planner::Workload workload;
  bool context_set = false;  ///< else the planner's default for the model
  std::uint32_t threads = 0;
  bool calibrate = true;  ///< the machine, where it was never measured
  SocketConfig socket;
  ListenConfig listen;
  ipc::Limits limits;
  std::uint32_t queued_requests = 256;
  std::size_t grammar_bytes = 0;
  std::size_t grammar_mask_bytes = 0;
  std::chrono::seconds grace{};
  std::string log_level;
};

/// Reads JSON with comments.  Throws BadConfig with file and position.
nlohmann::json read_config_file(const std::filesystem::path& path);

/// Layers `file` and `flags` (objects with the keys of config/default.json; empty objects for none) over the
/// defaults. Throws BadConfig: a key nobody knows (names the nearest), a value outside its range, a plan
/// together with budget or workload.
Config make_config(const nlohmann::json& file, const nlohmann::json& flags);

}  // namespace tandem::daemon
