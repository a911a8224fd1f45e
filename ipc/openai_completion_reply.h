#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ipc/event_stream.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

/// What all parts of one answer of POST /v1/completions share.
struct CompletionHead {
  std::string id;
  std::string model;
  std::uint64_t created_unix_s = 0;
};

/// How "logprobs" writes a token: its text, or "token_id:N".
enum class TokenNames { text, ids };

/// The number of characters (code points) of valid UTF-8.
std::size_t count_characters(std::string_view text) noexcept;

/// Adds `scores` to a "logprobs" object (null at first): tokens, token_logprobs, top_logprobs, text_offset.
/// Offsets count characters; the first token starts at `first_character` of the choice's text.
void append_logprobs(OrderedJson& logprobs, std::span<const ScoredToken> scores, TokenNames names,
                     std::size_t first_character);

/// One element of "choices"; `finished` is nullptr while more is to come, else it says stop or length (a
/// request that was cancelled or failed has an error object instead of choices).
OrderedJson completion_choice(std::size_t index, const std::string& text, OrderedJson logprobs,
                              const Finished* finished);

/// The object around "choices", the same for whole answers and for the pieces of a stream.
OrderedJson completion_object(const CompletionHead& head, OrderedJson choices);

/// "usage" of OpenAI's completions and chat.
OrderedJson openai_usage(const Usage& usage);
/// "timings": what Tandem says beside OpenAI's members.
OrderedJson timings(const Usage& usage);
/// "token_id:N", the token's text, or "bytes:\xe7" for one that is part of a character.
std::string token_name(const TokenLogprob& token, TokenNames names);

}  // namespace tandem::ipc
