#include "ipc/tcp_socket.h"

#include <arpa/inet.h>
#include <array>
#include <cerrno>
#include <charconv>
#include <netinet/in.h>
#include <string_view>
#include <sys/socket.h>
#include <system_error>

namespace tandem::ipc {

namespace {

[[noreturn]] void bad_address(const std::string& text, const std::string& problem) {
  throw BadListen("listen " + text + ": " + problem + "; write 127.0.0.1:8080 or [::1]:8080");
}

std::uint16_t port_of(const std::string& text, std::string_view digits) {
  unsigned port = 0;
  const auto* const end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, port);
  if (digits.empty() || error != std::errc() || stop != end || port > 65535) {
    bad_address(text, "the port must be 0 to 65535");
  }
  return static_cast<std::uint16_t>(port);
}

/// An address as the kernel takes it.
struct SocketAddress {
  union {
    sockaddr any;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;
};

SocketAddress socket_address(const TcpAddress& address) {
  SocketAddress result{};
  if (address.host.front() == '[') {
    result.v6.sin6_family = AF_INET6;
    result.v6.sin6_port = htons(address.port);
    const std::string bare = address.host.substr(1, address.host.size() - 2);
    ::inet_pton(AF_INET6, bare.c_str(), &result.v6.sin6_addr);
    result.size = sizeof result.v6;
  } else {
    result.v4.sin_family = AF_INET;
    result.v4.sin_port = htons(address.port);
    ::inet_pton(AF_INET, address.host.c_str(), &result.v4.sin_addr);
    result.size = sizeof result.v4;
  }
  return result;
}

[[noreturn]] void fail(const TcpAddress& address, const std::string& problem) {
  throw SocketError("listen " + address.text() + ": " + problem);
}

[[noreturn]] void fail_to_bind(const TcpAddress& address) {
  switch (errno) {
    case EADDRINUSE:
      fail(address, "another process listens at this port; choose another, or see who with `ss -ltnp`");
    case EACCES:
      fail(address, "ports below 1024 are for privileged processes; choose a higher one");
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      fail(address, "this machine has no such address");
    default:
      fail(address, "cannot bind: " + std::generic_category().message(errno));
  }
}

}  // namespace

TcpAddress parse_tcp_address(const std::string& text) {
  const auto colon = text.rfind(':');
  if (colon == std::string::npos) bad_address(text, "there is no port");
  TcpAddress address;
  address.port = port_of(text, std::string_view(text).substr(colon + 1));
  std::string host = text.substr(0, colon);
  if (host == "localhost") host = "127.0.0.1";

  std::array<char, INET6_ADDRSTRLEN> canonical{};
  in_addr v4{};
  in6_addr v6{};
  if (::inet_pton(AF_INET, host.c_str(), &v4) == 1) {
    address.host = host;
    address.loopback = (ntohl(v4.s_addr) >> 24) == 127;
    return address;
  }
  const bool bracketed = host.size() > 2 && host.front() == '[' && host.back() == ']';
  if (bracketed && ::inet_pton(AF_INET6, host.substr(1, host.size() - 2).c_str(), &v6) == 1) {
    ::inet_ntop(AF_INET6, &v6, canonical.data(), canonical.size());
    address.host = "[" + std::string(canonical.data()) + "]";
    address.loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    return address;
  }
  bad_address(text, "'" + host + "' is not an IP address");
}

Fd listen_tcp(TcpAddress& address) {
  SocketAddress wanted = socket_address(address);
  Fd socket(::socket(wanted.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) fail_to_bind(address);
  const int on = 1;
  // A port that connections of the last minute still linger on may be taken again; a live listener's may not.
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (wanted.any.sa_family == AF_INET6) ::setsockopt(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  if (::bind(socket.get(), &wanted.any, wanted.size) != 0) fail_to_bind(address);
  if (::listen(socket.get(), SOMAXCONN) != 0) fail_to_bind(address);
  if (::getsockname(socket.get(), &wanted.any, &wanted.size) != 0) fail_to_bind(address);
  // Both kinds of address have the port in the same place.
  address.port = ntohs(wanted.v4.sin_port);
  return socket;
}

}  // namespace tandem::ipc
