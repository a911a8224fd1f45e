#pragma once

#include <chrono>
#include <condition_variable>
#include <limits>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "ipc/service.h"

namespace tandem::ipc::testing {

struct FakeOptions {
  std::size_t slots = 4;
  std::size_t max_queued = 512;
  std::size_t context_tok = 4096;
  std::uint64_t prompt_chunk_tok = 512;
  std::uint64_t answer_tok = std::numeric_limits<std::uint64_t>::max();  ///< of one answer at most
  std::chrono::microseconds token_time{0};  ///< pause after each round over the sequences
};

/// A Service without a model.  Byte b of a text is token 256 + b, before them BOS = 2; "<eos>" in a text is
/// token 1 where control tokens are parsed.  Every answer is the same sentence over and over, a word and a
/// token at a time, until max_tokens.  A stop string that is one of the sentence's words ends it.
///
/// The prompt of a chat is its texts one after another.  With thinking, a chat's answer begins with two
/// tokens of thoughts, thought() together.  Where a tool must be called, what follows is one call of it with
/// {"x":1}, as one token, and the end.  A message that says "refuse" is refused, and so is the grammar
/// "refuse".
class FakeService final : public Service {
 public:
  static constexpr std::uint32_t kVocab = 512;
  /// The first `tokens` tokens' text of any answer.
  static std::string answer(std::size_t tokens);
  static std::string thought();

  explicit FakeService(const FakeOptions& options = {});
  ~FakeService() override;

  void submit(GenerationRequest request, std::shared_ptr<EventStream> stream) override;
  bool cancel(std::string_view id) override;
  std::vector<std::int32_t> tokenize(std::string_view text, bool add_special, bool parse_special) override;
  std::vector<std::int32_t> prepare_prompt(std::string_view text) override {
    return tokenize(text, true, true);
  }
  std::string detokenize(const std::vector<std::int32_t>& ids) override;
  PreparedChat prepare_chat(const ChatRequest& chat) override;
  std::shared_ptr<const AnswerRules> prepare_format(const AnswerFormat& format) override;
  ModelCard model() override;
  Health health() override;
  std::string plan_json() override;
  std::string metrics_text() override;
  OrderedJson status() override;
  std::vector<RequestInfo> requests() override;

  /// Requests that reach `state` (queued, prompt, decode) stay there, and so does tokenize under that name;
  /// nullopt lets all go on.
  void hold(std::optional<std::string> state);
  /// Requests end with this error after their first token; empty switches it off.
  void fail_with(std::string error);
  void set_health(const Health& health);

  [[nodiscard]] std::vector<GenerationRequest> submitted() const;
  [[nodiscard]] std::vector<ChatRequest> chats() const;     ///< given to prepare_chat
  [[nodiscard]] std::vector<AnswerFormat> formats() const;  ///< given to prepare_format
  /// Changes what model() says.
  void set_model(const ModelCard& card);
  [[nodiscard]] std::uint64_t cancelled() const;
  [[nodiscard]] std::size_t unfinished() const;
  [[nodiscard]] std::size_t tokenizing() const;
  /// Texts that tokenize was given so far.
  [[nodiscard]] std::size_t tokenize_calls() const;
  /// Tokens sampled for all requests together.
  [[nodiscard]] std::uint64_t sampled_tok() const;
  /// Waits until `condition` holds, at most 100 s; false if it never did.
  template <typename Condition>
  bool wait_until(Condition condition) const {
    for (int i = 0; i < 100'000; ++i) {
      if (condition()) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return condition();
  }

 private:
  struct Sequence {
    GenerationRequest request;
    std::shared_ptr<EventStream> stream;
    std::string state = "queued";
    std::uint64_t prompt_done_tok = 0;
    std::uint64_t new_tok = 0;
    std::string stop_string;
    bool cancelled = false;
  };

  void work();
  bool step(Sequence& sequence);
  bool advance_prompt(Sequence& sequence);
  bool advance_decode(Sequence& sequence);
  void push_echo(Sequence& sequence);
  [[nodiscard]] TextDelta next_delta(const Sequence& sequence) const;
  void finish(Sequence& sequence, FinishReason reason, const std::string& error = {});
  [[nodiscard]] std::size_t running() const;

  const FakeOptions options_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::list<std::shared_ptr<Sequence>> sequences_;
  std::vector<GenerationRequest> submitted_;
  std::vector<ChatRequest> chats_;
  std::vector<AnswerFormat> formats_;
  ModelCard card_;
  std::optional<std::string> held_;
  std::string error_;
  Health health_;
  std::uint64_t cancelled_ = 0;
  std::size_t tokenizing_ = 0;
  std::size_t tokenize_calls_ = 0;
  std::uint64_t sampled_tok_ = 0;
  bool stopping_ = false;
  bool stirred_ = false;
  std::thread worker_;
};

}  // namespace tandem::ipc::testing
