#include "ipc/error_dialect.h"

#include "ipc/anthropic_error.h"
#include "ipc/ollama_error.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

bool is_at_or_below(std::string_view path, std::string_view top) {
  return path.starts_with(top) && (path.size() == top.size() || path[top.size()] == '/');
}

}  // namespace

HttpReply error_reply_at(std::string_view path, const RequestError& error) {
  if (is_at_or_below(path, "/v1/messages")) return anthropic_error_reply(error);
  if (is_at_or_below(path, "/api")) return ollama_error_reply(error);
  return openai_error_reply(error);
}

HttpReply error_reply_at(std::string_view path, const std::exception_ptr& error) noexcept {
  try {
    std::rethrow_exception(error);
  } catch (const RequestError& refused) {
    return error_reply_at(path, refused);
  } catch (const std::exception& unexpected) {
    return error_reply_at(path, RequestError(500, kServerError, unexpected.what()));
  }
}

}  // namespace tandem::ipc
