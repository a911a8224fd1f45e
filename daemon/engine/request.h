#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "model/error.h"
#include "model/sampling.h"
#include "model/tokenizer.h"

namespace tandem::engine {

/// One sequence to be generated.  Values are in their declared ranges (the wire checks them).
struct EngineRequest {
  std::string name;   ///< what the client calls it; not used here but in Engine::requests and find
  std::string owner;  ///< likewise
  std::vector<model::TokenId> prompt;
  std::uint64_t max_new_tok = 16;  ///< 0: nothing is generated, the prompt is only run (and scored)
  model::SamplingParams sampling;
  std::vector<std::string> stop;
  std::optional<std::uint32_t> logprobs;  ///< score every token that comes out, with this many alternatives
  bool echo = false;                      ///< the prompt's tokens and text come out first
};

/// A request the engine cannot take; nothing has changed.
class RequestRefused : public Error {
 public:
  enum class Reason { queue_full, draining, prompt_empty, prompt_too_long, token_out_of_range };

  RequestRefused(Reason reason, const std::string& what) : Error(what), reason_(reason) {}
  [[nodiscard]] Reason reason() const noexcept { return reason_; }

 private:
  Reason reason_;
};

}  // namespace tandem::engine
