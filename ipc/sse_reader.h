#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace tandem::ipc {

/// Cuts a text/event-stream into events, however the bytes arrive.
class SseReader {
 public:
  /// Either may return false to stop the stream.
  struct Handlers {
    std::function<bool(const std::string& data)> on_data;
    std::function<bool(const std::string& comment)> on_comment;  ///< may be empty
  };

  explicit SseReader(Handlers handlers) : handlers_(std::move(handlers)) {}

  /// False once a handler has said so; the rest of `bytes` is not looked at.
  bool feed(std::string_view bytes);

 private:
  bool take_line(std::string_view line);

  Handlers handlers_;
  std::string line_;  ///< its beginning, where the end has not come yet
  std::string data_;
  bool has_data_ = false;
};

}  // namespace tandem::ipc
