#include "ipc/error_dialect.h"

#include <exception>
#include <utility>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

/// An answer that is there already.
class ReadyAnswer final : public Answer {
 public:
  explicit ReadyAnswer(HttpReply reply) : reply_(std::move(reply)) {}
  Output next() override { return std::move(reply_); }

 private:
  HttpReply reply_;
};

HttpReply translated(const std::exception_ptr& error, ErrorReply error_reply) {
  try {
    std::rethrow_exception(error);
  } catch (const RequestError& refused) {
    return error_reply(refused);
  } catch (const std::exception& unexpected) {
    return error_reply(RequestError(500, kServerError, unexpected.what()));
  }
}

StartAnswer with_errors(StartAnswer start, ErrorReply error_reply) {
  return [start = std::move(start), error_reply](const Wake& wake) -> std::unique_ptr<Answer> {
    try {
      return start(wake);
    } catch (...) {
      return std::make_unique<ReadyAnswer>(translated(std::current_exception(), error_reply));
    }
  };
}

}  // namespace

Route with_errors(Route route, ErrorReply error_reply) {
  route.handler = [handler = std::move(route.handler), error_reply](const HttpRequest& request,
                                                                    const std::string& tail) -> Outcome {
    try {
      Outcome outcome = handler(request, tail);
      if (auto* start = std::get_if<StartAnswer>(&outcome))
        return with_errors(std::move(*start), error_reply);
      return outcome;
    } catch (...) {
      return translated(std::current_exception(), error_reply);
    }
  };
  return route;
}

}  // namespace tandem::ipc
