#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "hardware/fingerprint.h"
#include "planner/machine.h"

namespace tandem::hardware {

/// The value of an environment variable; null where it is not set.
using Environment = std::function<const char*(const char* name)>;

/// Folders where measured profiles lie, the first one being where new ones go: $XDG_CACHE_HOME/tandem if
/// that is set; else $HOME/.cache/tandem, for root /var/cache/tandem, and behind it /var/cache/tandem.
std::vector<std::filesystem::path> cache_folders();
std::vector<std::filesystem::path> cache_folders(const Environment& environment, bool is_root);

/// The profile's file in `folder`.
std::filesystem::path profile_path(const std::filesystem::path& folder, const Fingerprint& fingerprint);

/// A profile that was measured, and where it lies.
struct CachedProfile {
  planner::MachineProfile machine;
  std::filesystem::path path;
};

/// The first profile of this fingerprint in `folders` that this user may read; nothing where there is none.
/// Throws planner::BadProfile, with the path, for one that is damaged.
std::optional<CachedProfile> find_profile(const Fingerprint& fingerprint,
                                          const std::vector<std::filesystem::path>& folders);

/// Reads a profile from a file.  Throws planner::BadProfile.
planner::MachineProfile read_profile(const std::filesystem::path& path);

/// Writes `profile` (JSON) to `path` as a whole or not at all, folders included, for all to read; into what
/// is there, if that is no file.  Throws planner::BadProfile if it is none, Error if it cannot be written.
void write_profile(std::string_view profile, const std::filesystem::path& path);

}  // namespace tandem::hardware
