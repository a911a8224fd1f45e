#pragma once

#include <functional>
#include <memory>
#include <string>
#include <variant>

#include "ipc/http.h"

namespace tandem::ipc {

/// Nothing to send now; a wake will come.
struct NotYet {};
/// The answer is streamed, and starts like this.
struct StreamHead {
  HttpReply head;
};
/// More of a streamed answer.
struct StreamPiece {
  std::string bytes;
  bool last = false;
};

using Output = std::variant<NotYet, HttpReply, StreamHead, StreamPiece>;

/// An answer that is made over time.  Its connection owns it, uses it on the I/O thread only, and asks for
/// more only when everything before has been sent: a slow reader holds up its own sequence and nothing else.
/// Destroying an answer before its end cancels the work behind it.
class Answer {
 public:
  Answer() = default;
  virtual ~Answer() = default;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;

  /// What can be sent now.  HttpReply and the last StreamPiece end the answer.
  virtual Output next() = 0;
};

/// Tells the connection to ask again; any thread may call it, also after the connection has gone.
using Wake = std::function<void()>;

/// Begins an answer, on the I/O thread; throws RequestError.
using StartAnswer = std::function<std::unique_ptr<Answer>(Wake)>;

/// What a route makes of a request: an answer at once, or the start of one.
using Outcome = std::variant<HttpReply, StartAnswer>;

}  // namespace tandem::ipc
