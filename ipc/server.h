#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <sys/types.h>
#include <vector>

#include "ipc/admission.h"
#include "ipc/limits.h"
#include "ipc/service.h"
#include "ipc/unix_socket.h"

namespace tandem::ipc {

/// One line of an access log.  It never holds prompt text.
struct AccessRecord {
  std::string request_id;
  std::string method;
  std::string path;
  unsigned status = 0;            ///< 0: the client left before there was one
  std::string account;            ///< Sender::account; empty where the request was refused for want of one
  std::uint64_t duration_us = 0;  ///< from the request's last byte to the answer's
};

struct ServerOptions {
  SocketOptions socket;
  std::vector<uid_t> proxy_uids;  ///< of peers on the socket that may say for whom they speak
  std::optional<TcpOptions> tcp;  ///< a port besides the socket
  Limits limits;
  std::function<void(const AccessRecord&)> access_log;  ///< on the I/O thread; may be empty
};

/// Threads that read bodies, tokenise and make grammars, and as many for large bodies: one that takes long
/// does not hold up all others, and no more large ones are taken apart at once.
inline constexpr std::size_t kHelpers = 2;

/// HTTP/1.1 on a Unix socket and, if wanted, a TCP port: one thread for all connections, beside the helpers.
class Server {
 public:
  /// Throws what the constructor would, as far as that can be told without binding: for those who have much
  /// to do before there is a service.
  static void check(const ServerOptions& options);
  /// Binds (throws SocketError; BadListen where the port is asked for wrongly) and serves from then on.
  /// `service` outlives the server, and the streams it was given may outlive it too.
  Server(const ServerOptions& options, Service& service);
  /// Stops: what still runs is cancelled.
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  [[nodiscard]] const std::string& path() const noexcept;
  /// "http://127.0.0.1:8080"; empty without a TCP port.
  [[nodiscard]] const std::string& tcp_url() const noexcept;

  /// Takes no new connection or request and removes the path; requests being answered go on, at most for
  /// `grace`.  True if all came to their end.
  bool drain(std::chrono::milliseconds grace);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace tandem::ipc
