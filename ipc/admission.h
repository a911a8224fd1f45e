#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

#include "ipc/api_keys.h"
#include "ipc/http.h"
#include "ipc/tcp_socket.h"

namespace tandem::ipc {

/// What a request's header says of who sends it.  A field that is given twice has both values here, joined by
/// ", ", and so matches nothing.
struct RequestHead {
  std::string id;  ///< of the request
  std::string method;
  std::string path;
  std::string host;  ///< Host, or what the target itself names
  std::string origin;
  std::string authorization;
  std::string api_key;            ///< X-Api-Key
  std::string client;             ///< X-Tandem-Client
  std::string owner;              ///< X-Tandem-Owner
  std::string preflight_method;   ///< Access-Control-Request-Method
  std::string preflight_headers;  ///< Access-Control-Request-Headers
  bool forwarded = false;         ///< a proxy says that it speaks for somebody else
};

/// Who a request is from, or the answer that ends it here.
struct Admission {
  Sender sender;
  std::optional<HttpReply> reply;                            ///< a refusal, or a preflight's answer
  std::vector<std::pair<std::string, std::string>> headers;  ///< for every answer to this request
};

/// The rules of one way in, for one connection.
using Admit = std::function<Admission(const RequestHead&)>;

/// On the Unix socket the kernel says who the peer is, and any Host will do.  A peer whose uid is one of
/// `proxies` may name the user it speaks for in X-Tandem-Owner; from others that field is refused.  What one
/// of them sends without naming a user, and what any peer says that it forwards, is nobody's in particular:
/// it gets an account of its own, request by request, so that it shares nothing with anybody, and no other
/// client of the proxy can end it.
Admission admit_peer(const RequestHead& head, uid_t uid, const std::vector<uid_t>& proxies);

/// A TCP port besides the Unix socket.
struct TcpOptions {
  std::string address;               ///< as parse_tcp_address takes it
  std::optional<ApiKeys> keys;       ///< must be there unless the address is a loopback one
  std::vector<std::string> hosts;    ///< further names, with or without port, that the server answers to
  std::vector<std::string> origins;  ///< of web pages that may call it, as "http://localhost:3000"
};

/// Who is let in at a TCP port.  Names and origins are checked against web pages that reach for local servers
/// (DNS rebinding, cross-site requests), keys against everybody.
class TcpGate {
 public:
  /// `address` is where the server listens.  Throws BadListen for a reachable address without keys.
  TcpGate(TcpOptions options, const TcpAddress& address);

  [[nodiscard]] Admission admit(const RequestHead& head) const;

 private:
  void check_host(const RequestHead& head) const;
  [[nodiscard]] bool is_cross_origin(const RequestHead& head) const;
  [[nodiscard]] std::string account_of(const RequestHead& head) const;

  const TcpOptions options_;
  std::vector<std::string> hosts_;  ///< all of them, in lower case
};

}  // namespace tandem::ipc
