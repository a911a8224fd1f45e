#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/asio/io_context.hpp>

#include "ipc/admission.h"
#include "ipc/helpers.h"
#include "ipc/router.h"
#include "ipc/server.h"

namespace tandem::ipc {

/// What all connections share.  Outlives them.
struct ConnectionContext {
  std::shared_ptr<boost::asio::io_context> io;  ///< shared with wakes that the engine may still hold
  Helpers& helper;
  Helpers& large_helper;  ///< for bodies that take long, so that no other waits behind one
  const Router& router;
  const Limits& limits;
  const std::function<void(const AccessRecord&)>& access_log;
  std::function<std::string()> new_request_id;
  bool draining = false;  ///< I/O thread only
};

/// One client: reads a request, answers it, then the next.  I/O thread only.  It keeps itself alive while
/// something is outstanding, and calls `closed` once when it has ended.
class Connection {
 public:
  virtual ~Connection() = default;

  virtual void start() = 0;
  /// Answers nothing but `reply`, then closes.
  virtual void refuse(const HttpReply& reply) = 0;
  /// Closes if no request is being read or answered, else after the answer.
  virtual void close_when_idle() = 0;
  /// Closes at once; what was being answered is cancelled.
  virtual void close() = 0;
};

/// A stream of any kind: a Unix socket's, or TCP.
using StreamSocket = boost::asio::generic::stream_protocol::socket;

/// `admit` says who each request is from.
std::shared_ptr<Connection> make_connection(ConnectionContext& context, StreamSocket socket, Admit admit,
                                            std::function<void(Connection*)> closed);

}  // namespace tandem::ipc
