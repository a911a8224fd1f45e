#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/json_fields.h"
#include "ipc/unix_socket.h"

namespace tandem::ipc::testing {

struct RawReply {
  int status = 0;
  std::map<std::string, std::string> headers;  ///< names in lower case
  std::string body;                            ///< chunks joined
  std::vector<std::string> chunks;

  [[nodiscard]] Json json() const { return Json::parse(body); }
  /// Of an OpenAI error object.
  [[nodiscard]] std::string error_message() const { return json()["error"]["message"]; }
};

/// HTTP by hand on a Unix socket, so that tests see and send exact bytes.  It waits as long as CTest does.
/// Throws std::runtime_error if what comes is not HTTP.
class RawClient {
 public:
  explicit RawClient(const std::string& path);
  /// On a connection made elsewhere.
  explicit RawClient(Fd socket);

  /// All bytes; false if the server has closed.
  bool send(std::string_view bytes);
  /// A request with Content-Length and Host.
  void request(const std::string& method, const std::string& path, const std::string& body = {},
               const std::string& extra_headers = {});
  /// One whole answer.
  RawReply read_reply();
  /// Status line and header fields only.
  RawReply read_head();
  /// Everything up to and including `mark`.
  std::string read_until(std::string_view mark);
  /// All there is until the server closes.
  std::string read_to_end();
  /// True if the server has closed and nothing is left to read.
  bool at_end();
  void close_sending();
  void close() { socket_ = Fd(); }
  [[nodiscard]] int fd() const { return socket_.get(); }

 private:
  bool fill();
  std::string read_exactly(std::size_t size);
  void read_chunks(RawReply& reply);

  Fd socket_;
  std::string buffer_;
};

/// Request and answer on a connection of its own.
RawReply once(const std::string& path, const std::string& method, const std::string& target,
              const std::string& body = {}, const std::string& extra_headers = {});

/// The data of each server-sent event, "[DONE]" included; comments are left out.
std::vector<std::string> sse_data(const std::string& body);

/// The same as JSON, without "[DONE]".
std::vector<Json> sse_events(const RawReply& reply);

}  // namespace tandem::ipc::testing
