#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

OrderedJson text_or_null(const std::string& text) {
  return text.empty() ? OrderedJson(nullptr) : OrderedJson(text);
}

}  // namespace

OrderedJson openai_error(const RequestError& error) {
  return {{"error",
           {{"message", error.what()},
            {"type", error.type()},
            {"param", text_or_null(error.param())},
            {"code", text_or_null(error.code())}}}};
}

HttpReply openai_error_reply(const RequestError& error) {
  return json_reply(openai_error(error), error.status());
}

}  // namespace tandem::ipc
