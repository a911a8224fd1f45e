#include "cli/line_editor.h"

#include <clocale>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <histedit.h>
#include <iostream>
#include <string_view>
#include <sys/stat.h>
#include <unistd.h>

#include "model/error.h"

namespace tandem::cli {
namespace {

constexpr int kHistoryLines = 1000;

// Between these a terminal sends what is pasted, where it was asked to tell that from what is typed.
constexpr const char* kTellPastes = "\033[?2004h";
constexpr const char* kTellNoPastes = "\033[?2004l";
constexpr const char* kPasteBegins = "\033[200~";
constexpr std::wstring_view kPasteEnds = L"\033[201~";

bool knows_sequences() {
  const char* const name = std::getenv("TERM");
  return name != nullptr && *name != '\0' && std::string_view(name) != "dumb";
}

/// Lines as they are kept; nothing that would move the cursor.
std::wstring printable_lines(const std::wstring& pasted) {
  std::wstring lines;
  for (const wchar_t c : pasted) {
    const bool is_printable = c >= L' ' && c != L'\177';
    if (c == L'\r') {
      lines += L'\n';
    } else if (is_printable || c == L'\n' || c == L'\t') {
      lines += c;
    }
  }
  return lines;
}

/// The history's file in a folder of this user's own; empty if there can be none.
std::string open_history_folder() {
  const auto path = history_path(std::getenv("XDG_STATE_HOME"), std::getenv("HOME"));
  if (!path) return {};
  const auto folder = std::filesystem::path(*path).parent_path();
  std::error_code error;
  std::filesystem::create_directories(folder.parent_path(), error);
  if (::mkdir(folder.c_str(), 0700) != 0 && !std::filesystem::is_directory(folder, error)) return {};
  return *path;
}

/// Text beyond ASCII can be typed in a locale that has it only.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (MB_CUR_MAX == 1) std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

class LineEditor::Terminal {
 public:
  Terminal() : path_(open_history_folder()) {
    use_utf8();
    editor_.reset(el_init("tandem", stdin, stdout, stderr));
    history_.reset(history_init());
    if (!editor_ || !history_) throw Error("cannot edit lines at this terminal");
    EditLine* const editor = editor_.get();
    HistEvent event{};
    history(history_.get(), &event, H_SETSIZE, kHistoryLines);
    history(history_.get(), &event, H_SETUNIQUE, 1);
    if (!path_.empty()) history(history_.get(), &event, H_LOAD, path_.c_str());
    el_set(editor, EL_CLIENTDATA, this);
    el_set(editor, EL_PROMPT, &prompt_of);
    el_set(editor, EL_EDITOR, "emacs");
    el_set(editor, EL_SIGNAL, 1);
    el_set(editor, EL_HIST, &history, history_.get());
    // Ctrl-C comes as a key: it gives up the line, not the program.
    el_set(editor, EL_SETTY, "-d", "-isig", nullptr);
    // Wide, because el_set makes wide copies of these two and never frees them.
    el_wset(editor, EL_ADDFN, L"tandem-cancel", L"give up the line", &cancel);
    el_set(editor, EL_BIND, "^C", "tandem-cancel", nullptr);
    el_set(editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_wset(editor, EL_ADDFN, L"tandem-paste", L"take what is pasted as one text", &take_paste);
    el_set(editor, EL_BIND, kPasteBegins, "tandem-paste", nullptr);
  }

  ~Terminal() {
    if (path_.empty()) return;
    const mode_t before = ::umask(0077);
    HistEvent event{};
    history(history_.get(), &event, H_SAVE, path_.c_str());
    ::umask(before);
  }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  Line read(const std::string& prompt) {
    prompt_ = prompt;
    cancelled_ = false;
    // Before the prompt is there: el_gets does it only after, and a Ctrl-C in between would end the program.
    el_set(editor_.get(), EL_PREP_TERM, 1);
    tell_terminal(kTellPastes);
    int length = 0;
    const char* const text = el_gets(editor_.get(), &length);
    tell_terminal(kTellNoPastes);
    if (cancelled_) {
      std::fputs("^C\n", stdout);
      return {End::cancelled, {}};
    }
    if (text == nullptr || length <= 0) {
      std::fputs("\n", stdout);
      return {End::input, {}};
    }
    std::string line(text, static_cast<std::size_t>(length));
    if (line.back() == '\n') line.pop_back();
    HistEvent event{};
    if (!line.empty()) history(history_.get(), &event, H_ENTER, line.c_str());
    return {End::line, std::move(line)};
  }

 private:
  static Terminal& self_of(EditLine* editor) {
    Terminal* self = nullptr;
    el_get(editor, EL_CLIENTDATA, &self);
    return *self;
  }
  static char* prompt_of(EditLine* editor) { return self_of(editor).prompt_.data(); }
  static unsigned char cancel(EditLine* editor, int /*key*/) {
    self_of(editor).cancelled_ = true;
    return CC_EOF;
  }
  /// Lines that are pasted are no more sent one by one than words are: Enter, typed, sends them all.
  static unsigned char take_paste(EditLine* editor, int /*key*/) {
    std::wstring pasted;
    wchar_t c = 0;
    while (el_wgetc(editor, &c) == 1) {
      pasted += c;
      if (pasted.ends_with(kPasteEnds)) {
        pasted.resize(pasted.size() - kPasteEnds.size());
        break;
      }
    }
    const auto lines = printable_lines(pasted);
    if (!lines.empty() && el_winsertstr(editor, lines.c_str()) != 0) return CC_ERROR;
    return CC_REFRESH;
  }
  void tell_terminal(const char* sequence) const {
    if (!knows_sequences_) return;
    std::fputs(sequence, stdout);
    std::fflush(stdout);
  }

  struct EndEditor {
    void operator()(EditLine* editor) const { el_end(editor); }
  };
  struct EndHistory {
    void operator()(History* list) const { history_end(list); }
  };

  const std::string path_;
  const bool knows_sequences_ = knows_sequences();
  std::unique_ptr<History, EndHistory> history_;
  std::unique_ptr<EditLine, EndEditor> editor_;
  std::string prompt_;
  bool cancelled_ = false;
};

LineEditor::LineEditor() {
  if (::isatty(STDIN_FILENO) != 0) terminal_ = std::make_unique<Terminal>();
}

LineEditor::~LineEditor() = default;

LineEditor::Line LineEditor::read(const std::string& prompt) {
  if (terminal_) return terminal_->read(prompt);
  std::string line;
  if (!std::getline(std::cin, line)) return {End::input, {}};
  return {End::line, std::move(line)};
}

std::optional<std::string> history_path(const char* state_home, const char* home) {
  // The XDG rules: a path that is not absolute is as good as none.
  if (state_home != nullptr && *state_home == '/') return std::string(state_home) + "/tandem/history";
  if (home != nullptr && *home == '/') return std::string(home) + "/.local/state/tandem/history";
  return std::nullopt;
}

}  // namespace tandem::cli
