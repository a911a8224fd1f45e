#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/chat_answer.h"
#include "cli/chat_session.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/ink.h"
#include "cli/line_editor.h"
#include "cli/waiting.h"
#include "ipc/service.h"
#include "model/error.h"
#include "model/nearest.h"

namespace tandem::cli {
namespace {

constexpr const char* kBlock = "\"\"\"";

constexpr const char* kHelp =
    "  /set NAME VALUE   temperature, top_p, top_k, min_p, seed, max_tokens, stop, thinking on|off,\n"
    "                    repetition_penalty, presence_penalty, frequency_penalty; without VALUE the\n"
    "                    model's own; /set alone shows what is set\n"
    "  /system TEXT      what the model is told before everything; without TEXT nothing\n"
    "  /save FILE        keep the conversation; /load FILE goes on with it\n"
    "  /clear            forget what was said; settings stay\n"
    "  /bye              leave; so do /exit, /quit and Ctrl-D\n"
    "A \\ at the end of a line goes on with the next; \"\"\" begins and ends a text of several lines.\n"
    "What is pasted is one text, whatever its lines. Ctrl-C stops an answer.\n";

struct ChatOptions {
  std::string socket;
  std::string system;
  std::string load;
  std::vector<std::string> set;
  std::optional<bool> think;
  std::string color = "auto";
};

/// Without blanks at either end.
std::string trimmed(const std::string& text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

/// The first word, and what follows it.
std::pair<std::string, std::string> split(const std::string& text) {
  const auto end = text.find_first_of(" \t");
  if (end == std::string::npos) return {text, {}};
  return {text.substr(0, end), trimmed(text.substr(end))};
}

class Chat {
 public:
  explicit Chat(const ChatOptions& options) : options_(options), ink_(ink_for(options.color)) {
    if (!options.load.empty()) session_.load(options.load);
    if (!options.system.empty()) session_.set_system(options.system);
    if (options.think) session_.set("thinking", *options.think ? "on" : "off");
    for (const std::string& setting : options.set) {
      const auto equals = setting.find('=');
      if (equals == std::string::npos) throw Error("--set takes NAME=VALUE, not '" + setting + "'");
      session_.set(setting.substr(0, equals), setting.substr(equals + 1));
    }
  }

  int run() {
    greet();
    while (const auto text = read_message()) {
      if (text->empty()) continue;
      if (text->front() == '/' && text->find('\n') == std::string::npos) {
        if (!obey(*text)) break;
      } else {
        ask(*text);
      }
    }
    return failed_ ? kRefused : kOk;
  }

 private:
  void greet() {
    ipc::Client client = connect_to_daemon(options_.socket);
    const CtrlC ctrl_c(client);
    StatusLine status;
    wait_until_loaded(client, status);
    const ipc::Json card = ipc::json_of(client.get("/v1/models")).at("data").at(0);
    if (!card.at("chat").is_string()) {
      throw Error("the loaded model has no chat turns that Tandem knows",
                  "`tandem run` continues plain text");
    }
    if (card.value("noise", false))
      std::cerr << "note: this model has random weights; its answers are noise\n";
    if (editor_.interactive())
      std::cout << card.value("id", "") << "; /help tells what can be typed\n" << std::flush;
  }

  /// What is typed up to a line that does not go on; nothing at the end of input.
  std::optional<std::string> read_message() {
    std::string text;
    bool in_block = false;
    const char* prompt = ">>> ";
    while (true) {
      LineEditor::Line line = editor_.read(prompt);
      if (line.end == LineEditor::End::cancelled) return "";
      if (line.end == LineEditor::End::input) {
        return text.empty() ? std::nullopt : std::optional(std::move(text));
      }
      prompt = "... ";
      std::string piece = std::move(line.text);
      if (!in_block && text.empty() && piece.rfind(kBlock, 0) == 0) {
        in_block = true;
        piece.erase(0, 3);
        if (piece.empty()) continue;
      }
      if (in_block && piece.size() >= 3 && piece.compare(piece.size() - 3, 3, kBlock) == 0) {
        text += piece.substr(0, piece.size() - 3);
        if (!text.empty() && text.back() == '\n') text.pop_back();
        return text;
      }
      const bool goes_on = !in_block && !piece.empty() && piece.back() == '\\';
      if (goes_on) piece.pop_back();
      text += piece;
      if (!in_block && !goes_on) return text;
      text += '\n';
    }
  }

  /// A line that begins with a slash; false if it was the last.
  bool obey(const std::string& line) {
    const auto [command, rest] = split(trimmed(line));
    try {
      if (command == "/bye" || command == "/exit" || command == "/quit") return false;
      const auto found = commands_.find(command);
      if (found == commands_.end()) throw unknown(command);
      found->second(rest);
    } catch (const Error& error) {
      tell(error);
    }
    return true;
  }

  [[nodiscard]] Error unknown(const std::string& command) const {
    std::vector<std::string> names{"/bye"};
    for (const auto& [name, ignored] : commands_) names.push_back(name);
    const std::string nearest(model::nearest(command, names));
    return Error("there is no " + command,
                 nearest.empty() ? "/help lists what there is" : "did you mean " + nearest + "?");
  }

  void set(const std::string& rest) {
    if (rest.empty()) {
      for (const auto& [name, value] : session_.settings().items()) {
        std::cout << name << " " << (value.is_string() ? value.get<std::string>() : value.dump()) << "\n";
      }
      return;
    }
    const auto [name, value] = split(rest);
    session_.set(name, value);
  }

  static const std::string& file(const std::string& rest) {
    if (rest.empty()) throw Error("the name of a file is missing");
    return rest;
  }

  /// One turn.  An answer that Ctrl-C stopped is kept as far as it came; a question that failed is taken
  /// back.
  void ask(const std::string& text) {
    session_.add_user(text);
    ChatAnswer answer(ink_);
    try {
      stream(answer);
      answer.end();
      if (answer.finish_reason() == "length")
        std::cerr << "(the answer was cut off: max_tokens or the context is full)\n";
      answer.text().empty() && answer.finish_reason().empty() ? session_.undo()
                                                              : session_.add_answer(answer.text());
    } catch (const ipc::RequestError& error) {
      answer.end();
      session_.undo();
      const bool full = error.code() == "context_length_exceeded" && session_.size() > 0;
      tell(Error(error.what(), full ? "/clear forgets what was said, /save keeps it before" : ""));
    } catch (const ipc::SocketError& error) {
      answer.end();
      session_.undo();
      if (!editor_.interactive()) throw;
      tell(Error(error.what(), "what was said before is kept: ask again when the daemon runs, or /save it"));
    } catch (const Error& error) {
      session_.undo();
      tell(error);
    }
  }

  void stream(ChatAnswer& answer) {
    ipc::Client client = connect_to_daemon(options_.socket);
    const CtrlC ctrl_c(client);
    StatusLine status;
    try {
      const auto reply = client.stream("/v1/chat/completions", to_body(session_.request()),
                                       {[&](const std::string& data) {
                                          status.clear();
                                          return answer.on_data(data);
                                        },
                                        [&](const std::string& comment) {
                                          if (comment.rfind("progress ", 0) == 0)
                                            status.show("prompt " + comment.substr(9));
                                          return true;
                                        }});
      if (reply.status != 200) ipc::json_of(reply);
    } catch (const ipc::ConnectionLost&) {
      if (!CtrlC::pressed()) throw;
      status.clear();
      answer.end();
      std::cerr << "(stopped)\n";
    }
  }

  void tell(const Error& error) {
    failed_ = failed_ || !editor_.interactive();
    std::cerr << "tandem: " << error.what() << "\n";
    if (!error.hint().empty()) std::cerr << "tandem: " << error.hint() << "\n";
  }

  const ChatOptions options_;
  const planner::Ink ink_;
  ChatSession session_;
  LineEditor editor_;
  bool failed_ = false;  ///< something of a script did
  const std::map<std::string, std::function<void(const std::string&)>> commands_{
      {"/help", [](const std::string&) { std::cout << kHelp << std::flush; }},
      {"/set", [this](const std::string& rest) { set(rest); }},
      {"/system", [this](const std::string& rest) { session_.set_system(rest); }},
      {"/save", [this](const std::string& rest) { session_.save(file(rest)); }},
      {"/load", [this](const std::string& rest) { session_.load(file(rest)); }},
      {"/clear", [this](const std::string&) { session_.clear(); }}};
};

}  // namespace

Command chat_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("chat", "Talk with the loaded model");
  app->footer(std::string("/help, typed there, lists what can be typed. Lines may also be piped in.\n") +
              kDaemonExitCodes);
  const auto options = std::make_shared<ChatOptions>();
  add_socket_option(*app, options->socket);
  app->add_option("--system", options->system, "what the model is told before everything")->type_name("TEXT");
  app->add_option("--set", options->set, "as /set takes them; may be given several times")
      ->type_name("NAME=VALUE")
      ->expected(1)
      ->take_all();
  add_think_option(*app, options->think, ", as /set thinking on or off");
  app->add_option("--load", options->load, "go on with a conversation that /save kept")->type_name("FILE");
  add_color_option(*app, options->color,
                   "whether to colour; auto minds NO_COLOR; thoughts are shown with colour only");
  return {app, [options] { return Chat(*options).run(); }};
}

}  // namespace tandem::cli
