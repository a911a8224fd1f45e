#include "daemon/engine/request.h"

#include <string>

namespace tandem::engine {

void check_prompt(std::span<const model::TokenId> prompt, std::uint64_t max_seq_len, std::uint32_t vocab) {
  using Reason = RequestRefused::Reason;
  const auto length = prompt.size();
  if (length == 0) throw RequestRefused(Reason::prompt_empty, "the prompt is empty");
  if (length > max_seq_len) {
    throw RequestRefused(Reason::prompt_too_long, "the prompt has " + std::to_string(length) +
                                                      " tokens; the context holds " +
                                                      std::to_string(max_seq_len));
  }
  for (const auto token : prompt) {
    if (token >= 0 && static_cast<std::uint32_t>(token) < vocab) continue;
    throw RequestRefused(Reason::token_out_of_range, "token id " + std::to_string(token) +
                                                         " is not in 0 .. " + std::to_string(vocab - 1));
  }
}

}  // namespace tandem::engine
