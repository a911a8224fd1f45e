#include "hardware/profile_cache.h"

#include <cstdlib>
#include <fstream>
#include <unistd.h>

#include "model/text_file.h"
#include "planner/errors.h"

namespace tandem::hardware {
namespace {

namespace fs = std::filesystem;

const fs::path kSystemFolder = "/var/cache/tandem";

/// A folder named by `name`; the XDG specification has relative ones ignored.
std::optional<fs::path> folder_of(const Environment& environment, const char* name) {
  const char* const value = environment(name);
  if (value == nullptr || !fs::path(value).is_absolute()) return std::nullopt;
  return value;
}

/// Into what is no file, as a pipe or /dev/stdout: to replace that would be to destroy it.
void write_into(std::string_view profile, const fs::path& path) {
  std::ofstream stream(path, std::ios::binary);
  stream << profile << std::flush;
  if (!stream) throw Error("cannot write " + path.string());
}

}  // namespace

std::vector<fs::path> cache_folders(const Environment& environment, bool is_root) {
  if (const auto folder = folder_of(environment, "XDG_CACHE_HOME")) return {*folder / "tandem"};
  const auto home = folder_of(environment, "HOME");
  if (is_root || !home) return {kSystemFolder};
  return {*home / ".cache" / "tandem", kSystemFolder};
}

std::vector<fs::path> cache_folders() {
  return cache_folders([](const char* name) { return std::getenv(name); }, ::geteuid() == 0);
}

fs::path profile_path(const fs::path& folder, const Fingerprint& fingerprint) {
  return folder / ("machine-" + key_of(fingerprint) + ".json");
}

planner::MachineProfile read_profile(const fs::path& path) {
  try {
    return planner::parse_machine(model::read_text_file(path), path.string());
  } catch (const planner::BadProfile&) {
    throw;
  } catch (const Error& error) {
    throw planner::BadProfile(std::string("machine profile ") + error.what());
  }
}

std::optional<CachedProfile> find_profile(const Fingerprint& fingerprint,
                                          const std::vector<fs::path>& folders) {
  for (const auto& folder : folders) {
    const auto path = profile_path(folder, fingerprint);
    std::error_code unreadable;
    if (!fs::exists(path, unreadable)) continue;
    try {
      return CachedProfile{read_profile(path), path};
    } catch (const planner::BadProfile& error) {
      throw planner::BadProfile(error.what(),
                                "tandem calibrate measures it again; --machine default does without");
    }
  }
  return std::nullopt;
}

void write_profile(std::string_view profile, const fs::path& path) {
  planner::parse_machine(profile, path.string());
  std::error_code error;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), error);
  if (fs::exists(path, error) && !fs::is_regular_file(path, error)) return write_into(profile, path);
  auto unfinished = path;
  unfinished += "." + std::to_string(::getpid());
  std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
  file << profile << std::flush;
  if (file) fs::rename(unfinished, path, error);
  if (file && !error) return;
  std::error_code ignored;
  fs::remove(unfinished, ignored);
  throw Error("cannot write " + path.string());
}

}  // namespace tandem::hardware
