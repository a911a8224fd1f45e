#pragma once

#include <string>
#include <string_view>

#include "ipc/json_fields.h"

namespace tandem::cli {

/// A conversation and how its answers are to be made, in OpenAI's words.
class ChatSession {
 public:
  /// The system message, from now on; empty for none.
  void set_system(const std::string& text) { system_ = text; }
  [[nodiscard]] const std::string& system() const noexcept { return system_; }

  /// A sampling value or limit by its name in the API ("temperature", "max_tokens", "thinking" ...), as
  /// typed; no value means the model's own.  Throws Error naming the nearest name, or what the value must be.
  void set(const std::string& name, const std::string& value);
  [[nodiscard]] const ipc::Json& settings() const noexcept { return settings_; }

  void add_user(const std::string& text);
  void add_answer(const std::string& text);
  /// Takes the last message back.
  void undo();
  void clear() { messages_ = ipc::Json::array(); }
  [[nodiscard]] std::size_t size() const noexcept { return messages_.size(); }

  /// The body of POST /v1/chat/completions for the next answer, streamed.
  [[nodiscard]] ipc::Json request() const;

  /// Writes messages, system message and settings as JSON, for this user alone; a file that is there is
  /// replaced once all is written.  Throws Error, and leaves it as it was then.
  void save(const std::string& path) const;
  /// Replaces all by what save wrote.  Throws Error, and changes nothing then.
  void load(const std::string& path);

 private:
  std::string system_;
  ipc::Json settings_ = ipc::Json::object();
  ipc::Json messages_ = ipc::Json::array();  ///< of user and assistant
};

}  // namespace tandem::cli
