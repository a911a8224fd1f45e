#include "cli/chat_answer.h"

#include <cstdio>
#include <utility>

#include "ipc/service.h"

namespace tandem::cli {
namespace {

constexpr const char* kDim = "\x1b[2m";
constexpr const char* kPlain = "\x1b[0m";

void write(const std::string& text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

std::string text_in(const ipc::Json& object, const char* name) {
  const auto found = object.find(name);
  return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

}  // namespace

bool ChatAnswer::on_data(const std::string& data) {
  if (data == "[DONE]") return true;
  const ipc::Json event = ipc::Json::parse(data);
  if (event.contains("error")) {
    throw ipc::RequestError(500, "server_error", event["error"].value("message", "the request failed"));
  }
  for (const ipc::Json& choice : event.at("choices")) {
    const ipc::Json& delta = choice.at("delta");
    if (ink_ == planner::Ink::colour) show(text_in(delta, "reasoning_content"), Voice::thought);
    const std::string content = text_in(delta, "content");
    show(content, Voice::answer);
    text_ += content;
    if (auto reason = text_in(choice, "finish_reason"); !reason.empty()) finish_reason_ = std::move(reason);
  }
  return true;
}

void ChatAnswer::end() {
  if (std::exchange(voice_, Voice::answer) == Voice::thought) write(kPlain);
  if (std::exchange(line_begun_, false)) write("\n");
}

void ChatAnswer::show(const std::string& text, Voice voice) {
  if (text.empty()) return;
  if (voice != voice_) {
    end();
    if (voice == Voice::thought) write(kDim);
    voice_ = voice;
  }
  write(text);
  line_begun_ = text.back() != '\n';
}

}  // namespace tandem::cli
