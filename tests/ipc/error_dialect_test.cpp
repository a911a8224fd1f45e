#include "ipc/error_dialect.h"

#include <gtest/gtest.h>

namespace tandem::ipc {
namespace {

HttpReply plain(const RequestError& error) {
  HttpReply reply;
  reply.status = error.status();
  reply.body = std::string("plain: ") + error.what();
  return reply;
}

/// What a route makes of a request, errors in plain words.
HttpReply outcome_of(Route::Handler handler) {
  const Route route = with_errors({"POST", "/x", std::move(handler)}, plain);
  Outcome outcome = route.handler({}, "");
  if (auto* reply = std::get_if<HttpReply>(&outcome)) return *reply;
  const auto answer = std::get<StartAnswer>(outcome)([] {});
  return std::get<HttpReply>(answer->next());
}

TEST(ErrorDialect, TranslatesWhatAHandlerThrows) {
  const HttpReply refused = outcome_of([](const HttpRequest&, const std::string&) -> Outcome {
    throw RequestError(404, "t", "no such thing");
  });
  EXPECT_EQ(refused.status, 404u);
  EXPECT_EQ(refused.body, "plain: no such thing");
  const HttpReply broken =
      outcome_of([](const HttpRequest&, const std::string&) -> Outcome { throw std::runtime_error("oops"); });
  EXPECT_EQ(broken.status, 500u);
  EXPECT_EQ(broken.body, "plain: oops");
}

TEST(ErrorDialect, TranslatesWhatTheStartOfAnAnswerThrows) {
  const HttpReply refused = outcome_of([](const HttpRequest&, const std::string&) -> Outcome {
    return StartAnswer(
        [](const Wake&) -> std::unique_ptr<Answer> { throw RequestError(503, "t", "queue is full"); });
  });
  EXPECT_EQ(refused.status, 503u);
  EXPECT_EQ(refused.body, "plain: queue is full");
}

TEST(ErrorDialect, LeavesAnswersAlone) {
  const HttpReply reply = outcome_of([](const HttpRequest&, const std::string&) -> Outcome {
    HttpReply fine;
    fine.body = "fine";
    return fine;
  });
  EXPECT_EQ(reply.status, 200u);
  EXPECT_EQ(reply.body, "fine");
}

}  // namespace
}  // namespace tandem::ipc
