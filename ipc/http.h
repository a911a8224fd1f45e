#pragma once

#include <string>
#include <sys/types.h>
#include <utility>
#include <vector>

namespace tandem::ipc {

/// Header field with the id that DELETE /v1/requests/{id} takes.
inline constexpr const char* kRequestIdHeader = "X-Request-Id";

/// One request as the routes see it.
struct HttpRequest {
  std::string id;      ///< unique; X-Request-Id of the answer, unless the answer names its own
  std::string method;  ///< GET, POST, DELETE ...
  std::string path;    ///< without the query, as sent
  std::string body;
  uid_t uid = 0;      ///< of the peer
  std::string owner;  ///< uid, or uid/label if the client sent X-Tandem-Client
};

/// An answer, or (body empty) the head of one that is streamed.
struct HttpReply {
  unsigned status = 200;
  std::string content_type = "application/json";
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  ///< besides type, length and connection
};

}  // namespace tandem::ipc
