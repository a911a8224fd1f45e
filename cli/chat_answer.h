#pragma once

#include <string>

#include "ipc/json_fields.h"
#include "planner/palette.h"

namespace tandem::cli {

/// One answer of POST /v1/chat/completions, printed as it streams in.
class ChatAnswer {
 public:
  /// With colour, thoughts are shown, dimmed; without, they are left out.
  explicit ChatAnswer(planner::Ink ink) : ink_(ink) {}

  /// One event of the stream.  Throws RequestError for an error in it.
  bool on_data(const std::string& data);
  /// Ends the line, and undoes the colour.
  void end();

  [[nodiscard]] const std::string& text() const noexcept { return text_; }
  /// Why it ended ("stop", "length" ...); empty if it did not.
  [[nodiscard]] const std::string& finish_reason() const noexcept { return finish_reason_; }

 private:
  enum class Voice { answer, thought };

  void show(const std::string& text, Voice voice);

  const planner::Ink ink_;
  std::string text_;
  std::string finish_reason_;
  Voice voice_ = Voice::answer;
  bool line_begun_ = false;
};

}  // namespace tandem::cli
