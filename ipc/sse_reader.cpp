#include "ipc/sse_reader.h"

#include <utility>

namespace tandem::ipc {

namespace {

/// The value of a "name: value" line: one space after the colon is not part of it.
std::string_view after_colon(std::string_view line, std::size_t colon) {
  line.remove_prefix(colon + 1);
  if (!line.empty() && line.front() == ' ') line.remove_prefix(1);
  return line;
}

}  // namespace

bool SseReader::feed(std::string_view bytes) {
  while (true) {
    const auto end = bytes.find('\n');
    line_ += bytes.substr(0, end);
    if (end == std::string_view::npos) return true;
    bytes.remove_prefix(end + 1);
    std::string line = std::exchange(line_, {});
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (!take_line(line)) return false;
  }
}

bool SseReader::take_line(std::string_view line) {
  if (line.empty()) {
    if (!std::exchange(has_data_, false)) return true;
    return handlers_.on_data(std::exchange(data_, {}));
  }
  if (line.front() == ':') {
    return !handlers_.on_comment || handlers_.on_comment(std::string(after_colon(line, 0)));
  }
  if (line.rfind("data:", 0) != 0) return true;  // other fields mean nothing here
  if (has_data_) data_ += '\n';
  data_ += after_colon(line, 4);
  has_data_ = true;
  return true;
}

}  // namespace tandem::ipc
