#pragma once

#include <cstdint>
#include <string>

#include "ipc/unix_socket.h"

namespace tandem::ipc {

/// A TCP port that cannot be asked for like this: an address that is none, one beyond this machine without
/// API keys, a key file that will not do.
class BadListen : public SocketError {
 public:
  using SocketError::SocketError;
};

/// Where to listen.
struct TcpAddress {
  std::string host;  ///< "127.0.0.1", "[::1]"
  std::uint16_t port = 0;
  bool loopback = false;  ///< only this machine reaches it

  [[nodiscard]] std::string text() const { return host + ":" + std::to_string(port); }
};

/// "127.0.0.1:8080", "[::1]:8080", "localhost:8080" (127.0.0.1); port 0 means any that is free.  Throws
/// BadListen.
TcpAddress parse_tcp_address(const std::string& text);

/// A listening socket, non-blocking and close-on-exec; `address.port` becomes the one it got.  Throws
/// SocketError, which says who or what is in the way where the kernel does.
Fd listen_tcp(TcpAddress& address);

}  // namespace tandem::ipc
