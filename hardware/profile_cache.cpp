#include "hardware/profile_cache.h"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <system_error>
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

Error unwritten(const fs::path& path) {
  return Error("cannot write " + path.string() + ": " + std::generic_category().message(errno));
}

/// `named` is the path that an error is about.
void write_into(std::string_view profile, const fs::path& path, const fs::path& named) {
  std::ofstream stream(path, std::ios::binary);
  stream << profile << std::flush;
  if (!stream) throw unwritten(named);
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
    if (::access(path.c_str(), R_OK) != 0) continue;
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
  std::error_code ignored;
  if (path.has_parent_path()) fs::create_directories(path.parent_path(), ignored);
  // To replace a pipe or a device, as /dev/stdout, would be to destroy it.
  if (fs::exists(path, ignored) && !fs::is_regular_file(path, ignored))
    return write_into(profile, path, path);
  auto unfinished = path;
  unfinished += "." + std::to_string(::getpid());
  try {
    write_into(profile, unfinished, path);
    // Whoever plans on this machine may read it, also where a service with a strict umask measured.
    fs::permissions(unfinished, fs::perms::group_read | fs::perms::others_read, fs::perm_options::add,
                    ignored);
    if (std::rename(unfinished.c_str(), path.c_str()) != 0) throw unwritten(path);
  } catch (const Error&) {
    fs::remove(unfinished, ignored);
    throw;
  }
}

}  // namespace tandem::hardware
