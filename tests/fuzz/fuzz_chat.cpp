#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>

#include "daemon/chat_preparer.h"
#include "ipc/openai_chat_request.h"
#include "model/gguf.h"

namespace {

using namespace tandem;

/// One model family, without the model.
class Family {
 public:
  Family(const char* name, const char* turn)
      : tokenizer_(model::Tokenizer::from_header(
            model::read_header(std::filesystem::path(TANDEM_SOURCE_DIR) / "tests/reference/data" /
                               (std::string(name) + "_vocab.gguf")))),
        turn_(tokenizer_->find(turn).value()),
        format_(model::detect_chat_format(*tokenizer_, "").value()),
        preparer_(*tokenizer_, format_) {
    card_.chat = name;
    card_.tools = model::has_tools(format_.rendering);
    card_.thinking = model::has_thinking(format_.rendering);
  }

  void read(const ipc::Json& body) {
    try {
      const auto request = ipc::read_openai_chat_request(body, {}, card_);
      const auto turns = std::ranges::count(preparer_.prepare_chat(request.chat).prompt, turn_);
      if (turns > most_turns(request.chat)) fail("text became a control token");
    } catch (const ipc::RequestError& error) {
      if (error.status() != 400) fail(error.what());
    }
  }

 private:
  /// One a message, and those of the system prompt and the answer.
  static std::ptrdiff_t most_turns(const ipc::ChatRequest& chat) {
    return static_cast<std::ptrdiff_t>(chat.messages.size()) + 2;
  }

  [[noreturn]] static void fail(const char* what) {
    std::fprintf(stderr, "%s\n", what);
    std::abort();
  }

  std::unique_ptr<model::Tokenizer> tokenizer_;
  model::TokenId turn_;
  model::ChatFormat format_;
  daemon::ChatPreparer preparer_;
  ipc::ModelCard card_;
};

}  // namespace

/// libFuzzer's entry: any object is a chat or is refused with status 400; no text of it opens a turn.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static Family gemma3("gemma3", "<start_of_turn>");
  static Family gemma4("gemma4", "<|turn>");
  if (size > 3000) return 0;  // for speed
  try {
    const auto body = ipc::parse_object(std::string(reinterpret_cast<const char*>(data), size), 64);
    gemma3.read(body);
    gemma4.read(body);
  } catch (const ipc::RequestError&) {
  }
  return 0;
}
