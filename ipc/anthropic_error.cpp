#include "ipc/anthropic_error.h"

#include <utility>

namespace tandem::ipc {

namespace {

const char* type_of(unsigned status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 413:
      return "request_too_large";
    case 429:
      return "rate_limit_error";
    case 503:
      return "overloaded_error";
    default:
      return status < 500 ? "invalid_request_error" : "api_error";
  }
}

}  // namespace

OrderedJson anthropic_error(const RequestError& error) {
  OrderedJson described = {{"type", type_of(error.status())}, {"message", error.what()}};
  if (!error.code().empty()) described["details"] = {{"error_code", error.code()}};
  return {{"type", "error"}, {"error", std::move(described)}};
}

HttpReply anthropic_error_reply(const RequestError& error) {
  return json_reply(anthropic_error(error), error.status());
}

}  // namespace tandem::ipc
