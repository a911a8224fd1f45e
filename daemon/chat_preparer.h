#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string>

#include "daemon/answer_rules.h"
#include "daemon/grammar_cache.h"
#include "ipc/service.h"
#include "model/chat_template.h"
#include "model/tokenizer.h"

namespace tandem::daemon {

/// What answers of chats may take.
struct ChatLimits {
  std::size_t call_depth = model::kCallDepth;  ///< a call whose arguments nest deeper is read as text
  std::size_t mask_bytes = model::MaskStore::kDefaultBytes;  ///< for which tokens fit where in grammars
  std::size_t grammar_bytes = GrammarCache::kDefaultBytes;   ///< for all grammars themselves
  std::uint64_t context_tok = std::numeric_limits<std::uint64_t>::max();
};

/// Throws RequestError 400 where a prompt of `bytes` bytes is more than `context_tok` tokens, whatever they
/// are: tokenising megabytes only to refuse them would keep others waiting.  `field`: what the client calls
/// it.
void refuse_hopeless_prompt(std::size_t bytes, const model::Tokenizer& tokenizer, std::uint64_t context_tok,
                            const std::string& field);

/// Makes prompts of conversations and grammars of answer formats.  Thread-safe.
class ChatPreparer {
 public:
  /// No `format`: the model cannot chat.  `tokenizer` outlives the object.
  ChatPreparer(const model::Tokenizer& tokenizer, std::optional<model::ChatFormat> format,
               const ChatLimits& limits = {})
      : tokenizer_(tokenizer),
        format_(format),
        limits_(limits),
        grammars_(tokenizer, limits.mask_bytes, limits.grammar_bytes) {}

  /// As Service::prepare_chat; all its errors are RequestError 400.
  ipc::PreparedChat prepare_chat(const ipc::ChatRequest& chat);
  /// As Service::prepare_format.
  std::shared_ptr<const ipc::AnswerRules> prepare_format(const ipc::AnswerFormat& format);

  [[nodiscard]] std::size_t mask_bytes() const { return grammars_.mask_bytes(); }

 private:
  std::shared_ptr<model::GrammarMasks> masks_of(const ipc::AnswerFormat& format);
  std::shared_ptr<model::GrammarMasks> masks_with_calls(const ipc::ChatRequest& chat);
  std::optional<engine::Constraint> constraint_of(const ipc::ChatRequest& chat,
                                                  const model::AnswerStart& start);

  const model::Tokenizer& tokenizer_;
  const std::optional<model::ChatFormat> format_;
  const ChatLimits limits_;
  GrammarCache grammars_;
};

}  // namespace tandem::daemon
