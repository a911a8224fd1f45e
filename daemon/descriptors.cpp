#include "daemon/descriptors.h"

#include <algorithm>
#include <sys/resource.h>

#include <spdlog/spdlog.h>

namespace tandem::daemon {

namespace {

/// Beside those of clients: the log, the sockets, the model's parts, and clients that are told that it is
/// full.
constexpr rlim_t kOwnDescriptors = 128;

}  // namespace

void allow_descriptors(std::size_t connections) {
  const rlim_t needed = connections + kOwnDescriptors;
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed) return;
  limit.rlim_cur = std::min(needed, limit.rlim_max);
  if (::setrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur >= needed) return;
  spdlog::warn(
      "limits.connections: {} need {} descriptors, and this process may have {}: clients beyond those wait; "
      "see ulimit -Hn, LimitNOFILE",
      connections, needed, limit.rlim_cur);
}

}  // namespace tandem::daemon
