#include "ipc/stream_text.h"

namespace tandem::ipc {

std::string sse_event(const OrderedJson& data) {
  return "data: " + to_text(data) + "\n\n";
}

std::string sse_event(std::string_view name, const OrderedJson& data) {
  return "event: " + std::string(name) + "\n" + sse_event(data);
}

std::string sse_comment(std::string_view text) {
  return ": " + std::string(text) + "\n\n";
}

std::string json_line(const OrderedJson& data) {
  return to_text(data) + "\n";
}

}  // namespace tandem::ipc
