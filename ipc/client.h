#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "ipc/http.h"
#include "ipc/json_fields.h"
#include "ipc/sse_reader.h"
#include "ipc/unix_socket.h"

namespace tandem::ipc {

/// The daemon went away, or spoke no HTTP, in the middle of an exchange.
class ConnectionLost : public SocketError {
 public:
  using SocketError::SocketError;
};

/// The daemon is there and says nothing.
class NoAnswer : public ConnectionLost {
 public:
  using ConnectionLost::ConnectionLost;
};

/// One connection to a daemon; exchanges happen one after another, and block.  For one thread, except
/// interrupt.  Closing it (destruction) during an answer cancels the request.
class Client {
 public:
  /// That a daemon which works leaves no `get` without a word for.
  static constexpr std::chrono::milliseconds kPatience{10'000};

  /// Throws NoListener and SocketError.
  explicit Client(const std::string& socket_path, std::chrono::milliseconds patience = kPatience);
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  /// Whole answers, whatever their status.  Throw ConnectionLost; `get` throws NoAnswer once nothing has come
  /// for the client's patience.  The others take as long as they take.
  HttpReply get(const std::string& path);
  HttpReply post(const std::string& path, const std::string& body);
  HttpReply remove(const std::string& path);

  /// Posts and hands the answer's events to `handlers` as they come.  Returns the reply with an empty body,
  /// or, where the answer is no event stream (an error), all of it.  After a handler has stopped the stream
  /// the connection is of no more use.
  HttpReply stream(const std::string& path, const std::string& body, SseReader::Handlers handlers);

  /// The daemon's process.
  [[nodiscard]] Peer daemon() const;

  /// Ends the exchange that is going on, and every later one, with ConnectionLost.  Any thread, also a signal
  /// handler.
  void interrupt() noexcept;

 private:
  class Connection;
  std::unique_ptr<Connection> connection_;
};

/// The JSON of a successful reply; throws RequestError with the daemon's message for others.
Json json_of(const HttpReply& reply);

}  // namespace tandem::ipc
