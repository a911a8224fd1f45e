#pragma once

#include <memory>
#include <optional>
#include <string>

namespace tandem::cli {

/// Lines as somebody types them, with editing and a history that outlives the program
/// ($XDG_STATE_HOME/tandem/history, for this user alone); or, where standard input is no terminal, as they
/// come.
class LineEditor {
 public:
  LineEditor();
  ~LineEditor();
  LineEditor(const LineEditor&) = delete;
  LineEditor& operator=(const LineEditor&) = delete;

  enum class End { line, cancelled, input };
  struct Line {
    End end = End::line;  ///< cancelled: by Ctrl-C; input: there is no more
    std::string text;     ///< without the newline
  };

  Line read(const std::string& prompt);
  [[nodiscard]] bool interactive() const noexcept { return terminal_ != nullptr; }

 private:
  class Terminal;
  std::unique_ptr<Terminal> terminal_;
};

/// Where the history is kept: under `state_home` ($XDG_STATE_HOME, nullptr if unset), else ~/.local/state of
/// `home`; nothing without either.
std::optional<std::string> history_path(const char* state_home, const char* home);

}  // namespace tandem::cli
