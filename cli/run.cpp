#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

#include "cli/commands.h"
#include "cli/daemon.h"
#include "cli/prompt_files.h"
#include "cli/waiting.h"
#include "ipc/service.h"
#include "model/error.h"
#include "model/text_file.h"

namespace tandem::cli {
namespace {

using ipc::Json;

struct RunOptions {
  std::optional<std::string> prompt;
  std::string socket;
  std::uint32_t max_tokens = 512;
  std::optional<double> temperature;
  std::optional<std::int64_t> top_k;
  std::optional<double> top_p;
  std::optional<double> min_p;
  std::optional<std::int64_t> seed;
  std::vector<std::string> stop;
  std::vector<std::string> files;
  bool chat = false;
  std::optional<bool> think;
  bool json = false;
};

/// The argument, or standard input for "-" and where input is piped; one newline at its end is not part of
/// it.
std::string read_prompt(const RunOptions& options) {
  if (options.prompt && *options.prompt != "-") return *options.prompt;
  if (!options.prompt && !options.files.empty()) return {};
  if (!options.prompt && ::isatty(STDIN_FILENO) != 0) {
    throw Error("no prompt", "give it as an argument, pipe it in, or name a --file");
  }
  auto text = model::read_standard_input();
  if (!text.empty() && text.back() == '\n') text.pop_back();
  return text;
}

/// A route and what to post there.
struct Question {
  const char* path;
  Json body;
};

Question question(const RunOptions& options, const std::string& prompt) {
  Question asked{"/v1/completions", {{"prompt", prompt}}};
  if (options.chat) {
    asked = {"/v1/chat/completions", {{"messages", Json::array({{{"role", "user"}, {"content", prompt}}})}}};
  }
  Json& request = asked.body;
  request["max_tokens"] = options.max_tokens;
  if (options.temperature) request["temperature"] = *options.temperature;
  if (options.top_k) request["top_k"] = *options.top_k;
  if (options.top_p) request["top_p"] = *options.top_p;
  if (options.min_p) request["min_p"] = *options.min_p;
  if (options.seed) request["seed"] = *options.seed;
  if (!options.stop.empty()) request["stop"] = options.stop;
  if (options.think) request["chat_template_kwargs"] = {{"enable_thinking", *options.think}};
  return asked;
}

/// Writes text as it comes; remembers what the end of the stream says.
class StreamPrinter {
 public:
  explicit StreamPrinter(StatusLine& status) : status_(status) {}

  bool on_data(const std::string& data) {
    if (data == "[DONE]") return true;
    const Json event = Json::parse(data);
    if (event.contains("error")) {
      throw ipc::RequestError(500, "server_error", event["error"].value("message", "the request failed"));
    }
    if (event.contains("usage") && event["usage"].is_object()) usage_ = event["usage"];
    for (const Json& choice : event.at("choices")) {
      if (choice.contains("delta")) think(choice["delta"].value("reasoning_content", ""));
      print(choice.contains("delta") ? choice["delta"].value("content", "") : choice.value("text", ""));
      if (choice.contains("timings")) timings_ = choice["timings"];
    }
    return true;
  }

  bool on_comment(const std::string& comment) {
    if (!printed_ && comment.rfind("progress ", 0) == 0) status_.show("prompt " + comment.substr(9));
    return true;
  }

  /// So that the shell's prompt starts on a line of its own.
  void end_line() {
    end_thoughts();
    status_.clear();
    if (printed_ && last_ != '\n') print("\n");
  }

  /// Rates of the finished answer.  The first token is the prompt's last result: n - 1 took decode_us.
  [[nodiscard]] std::string rates() const {
    const auto prompt_tok = usage_.value("prompt_tokens", 0.0);
    const auto tokens = usage_.value("completion_tokens", 0.0);
    std::string text = "prompt: " + part(prompt_tok, prompt_tok, timings_.value("prompt_us", 0.0)) +
                       "; answer: " + part(tokens, tokens - 1.0, timings_.value("decode_us", 0.0));
    const auto gb_per_s = timings_.value("decode_gb_per_s", 0.0);
    return gb_per_s > 0.0 ? text + ", " + fixed(gb_per_s) + " GB/s" : text;
  }

 private:
  /// Thoughts are no part of the answer: they go where progress goes.
  void think(const std::string& text) {
    if (text.empty()) return;
    status_.clear();
    std::cerr << text << std::flush;
    thinking_ = true;
  }

  void end_thoughts() {
    if (std::exchange(thinking_, false)) std::cerr << "\n\n" << std::flush;
  }

  void print(const std::string& text) {
    if (text.empty()) return;
    end_thoughts();
    status_.clear();
    std::fwrite(text.data(), 1, text.size(), stdout);
    std::fflush(stdout);
    printed_ = true;
    last_ = text.back();
  }

  static std::string fixed(double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return text;
  }

  /// "12 tokens, 34.5 tok/s"; no rate where nothing was timed.
  static std::string part(double tokens, double timed_tokens, double us) {
    std::string text =
        std::to_string(static_cast<long long>(tokens)) + (tokens == 1.0 ? " token" : " tokens");
    if (timed_tokens < 1.0 || us <= 0.0) return text;
    return text + ", " + fixed(timed_tokens / us * 1e6) + " tok/s";
  }

  StatusLine& status_;
  Json usage_ = Json::object();
  Json timings_ = Json::object();
  bool thinking_ = false;
  bool printed_ = false;
  char last_ = '\n';
};

int print_stream(ipc::Client& client, const Question& asked, StatusLine& status) {
  Json request = asked.body;
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  StreamPrinter printer(status);
  try {
    const auto reply =
        client.stream(asked.path, to_body(request),
                      {[&](const std::string& data) { return printer.on_data(data); },
                       [&](const std::string& comment) { return printer.on_comment(comment); }});
    if (reply.status != 200) ipc::json_of(reply);
  } catch (...) {
    printer.end_line();
    throw;
  }
  printer.end_line();
  std::cerr << printer.rates() << "\n";
  return kOk;
}

int print_json(ipc::Client& client, const Question& asked) {
  const auto reply = client.post(asked.path, to_body(asked.body));
  ipc::json_of(reply);
  std::cout << reply.body << std::flush;
  return kOk;
}

int answer(ipc::Client& client, const RunOptions& options, const std::string& prompt) {
  StatusLine status;
  wait_until_loaded(client, status);
  const Json card = ipc::json_of(client.get("/v1/models")).at("data").at(0);
  status.clear();
  if (card.value("noise", false)) std::cerr << "note: this model has random weights; its answers are noise\n";
  const Question asked = question(options, prompt);
  return options.json ? print_json(client, asked) : print_stream(client, asked, status);
}

int run(const RunOptions& options) {
  const std::string prompt = with_files(read_prompt(options), options.files);
  ipc::Client client = connect_to_daemon(options.socket);
  const CtrlC ctrl_c(client);
  try {
    return answer(client, options, prompt);
  } catch (const ipc::ConnectionLost&) {
    if (!CtrlC::pressed()) throw;
    return kInterrupted;
  }
}

/// CLI11 takes "nan", for which JSON has no word, and for a whole number beyond 64 bits the nearest within.
std::string refuse_no_number(const std::string& text) {
  return std::isfinite(std::strtod(text.c_str(), nullptr)) ? "" : "must be a number, not " + text;
}
std::string refuse_beyond_64_bits(const std::string& text) {
  errno = 0;
  std::strtoll(text.c_str(), nullptr, 10);
  return errno == ERANGE ? text + " has more than 64 bits" : "";
}

void add_sampling(CLI::App& app, RunOptions& options) {
  app.add_option("--temperature", options.temperature, "0 always takes the most probable token")
      ->type_name("NUMBER")
      ->check(refuse_no_number, "");
  app.add_option("--top-k", options.top_k, "choose among this many tokens, 0 all")
      ->type_name("COUNT")
      ->check(refuse_beyond_64_bits, "");
  app.add_option("--top-p", options.top_p, "choose among the tokens that make up this probability")
      ->type_name("NUMBER")
      ->check(refuse_no_number, "");
  app.add_option("--min-p", options.min_p, "leave out tokens less probable than this share of the best")
      ->type_name("NUMBER")
      ->check(refuse_no_number, "");
  app.add_option("--seed", options.seed, "the same seed gives the same answer")
      ->type_name("INTEGER")
      ->check(refuse_beyond_64_bits, "");
}

void add_options(CLI::App& app, RunOptions& options) {
  app.add_option("PROMPT", options.prompt, "text to continue; - or nothing reads standard input")
      ->type_name("TEXT");
  add_socket_option(app, options.socket);
  app.add_option("--max-tokens", options.max_tokens, "end the answer after this many tokens")
      ->type_name("COUNT")
      ->capture_default_str();
  add_sampling(app, options);
  app.add_option("--stop", options.stop, "end before this text; may be given several times")
      ->type_name("TEXT")
      ->expected(1)
      ->take_all();
  app.add_option(
         "--file", options.files,
         "add this text file to the prompt, after a blank line and its name; - is standard input; may be "
         "given several times, up to 1 MiB each")
      ->type_name("FILE")
      ->expected(1)
      ->take_all();
  auto* const chat = app.add_flag("--chat", options.chat, "ask as a chat turn, in the loaded model's format");
  add_think_option(app, options.think, "; its thoughts go to standard error")->needs(chat);
  app.add_flag("--json", options.json, "print the API's answer when it is complete");
}

}  // namespace

Command run_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("run", "Have the daemon continue a text, and watch it come");
  app->footer(std::string("The answer goes to standard output, progress and rates to standard error.\n"
                          "Ctrl-C cancels the request; the daemon goes on.\n") +
              kDaemonExitCodes);
  const auto options = std::make_shared<RunOptions>();
  add_options(*app, *options);
  return {app, [options] { return run(*options); }};
}

}  // namespace tandem::cli
