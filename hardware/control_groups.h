#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace tandem::hardware {

/// The folders of all control groups that may limit what `controller`, as "cpu" or "memory", gives this
/// process: its own, as /proc/self/cgroup names it, and every one above, of version 2 and of the controller's
/// hierarchy of version 1.  A folder need not be there: inside a container the mount shows the process's own
/// group at its top, and the path is one of outside.  `root` stands for "/", for tests.
std::vector<std::filesystem::path> control_groups(std::string_view controller,
                                                  const std::filesystem::path& root = "/");

}  // namespace tandem::hardware
