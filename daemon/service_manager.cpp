#include "daemon/service_manager.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <sys/socket.h>
#include <sys/un.h>

#include "ipc/unix_socket.h"

namespace tandem::daemon {

// The protocol that sd_notify(3) describes, and not its library: tandemd is bundled with what it is linked
// to, statically (bench/gpu), and Debian has libsystemd as a shared library only.
void tell_service_manager(std::string_view state) noexcept {
  const char* const name = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (name == nullptr || (*name != '/' && *name != '@')) return;
  const auto name_bytes = std::strlen(name);
  if (name_bytes >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, name, name_bytes);
  if (*name == '@') address.sun_path[0] = '\0';  // in the kernel's name space, without an end
  const auto size = offsetof(sockaddr_un, sun_path) + name_bytes + (*name == '@' ? 0 : 1);
  const ipc::Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  static_cast<void>(!::sendto(socket.get(), state.data(), state.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(size)));
}

}  // namespace tandem::daemon
