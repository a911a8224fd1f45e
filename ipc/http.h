#pragma once

#include <string>
#include <utility>
#include <vector>

namespace tandem::ipc {

/// Header field with the id that DELETE /v1/requests/{id} takes.
inline constexpr const char* kRequestIdHeader = "X-Request-Id";

/// Who a request is from.
struct Sender {
  std::string account;  ///< "1000" (the peer's uid), "key:LABEL" (an API key's owner), "proxy:NAME" (a user
                        ///< that a trusted proxy speaks for), "1000/forwarded-ID" (whoever is behind a
                        ///< proxy, for this one request), "tcp" (anybody at a port without keys)
  std::string owner;    ///< account, or account/label if the client sent X-Tandem-Client
  bool root = false;    ///< may end the requests of others
};

/// One request as the routes see it.
struct HttpRequest {
  std::string id;      ///< unique; X-Request-Id of the answer, unless the answer names its own
  std::string method;  ///< GET, POST, DELETE ...
  std::string path;    ///< without the query, as sent
  std::string body;
  Sender sender;
};

/// An answer, or (body empty) the head of one that is streamed.
struct HttpReply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< besides type, length and connection
};

}  // namespace tandem::ipc
