#include "ipc/ollama_error.h"

namespace tandem::ipc {

OrderedJson ollama_error(const RequestError& error) {
  return {{"error", error.what()}};
}

HttpReply ollama_error_reply(const RequestError& error) {
  return json_reply(ollama_error(error), error.status());
}

}  // namespace tandem::ipc
