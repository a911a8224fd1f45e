#pragma once

#include <cstdint>
#include <string>

#include "ipc/event_stream.h"
#include "ipc/json_fields.h"

namespace tandem::ipc {

/// "stop_reason" and "stop_sequence" of an answer.
OrderedJson anthropic_stop(const Finished& finished);

/// "usage"; nothing is ever cached across requests.
OrderedJson anthropic_usage(std::uint64_t input_tok, std::uint64_t output_tok);

/// The blocks of a whole answer: thoughts, text, calls.
OrderedJson anthropic_content(const TextDelta& said);

/// The object around the blocks, without why and how it ended.
OrderedJson anthropic_message(const std::string& id, const std::string& model, OrderedJson content);

/// Writes a streamed answer's blocks: opens one where the kind of what is said changes, and closes it again.
class AnthropicBlocks {
 public:
  /// The events that say `delta`.
  std::string say(const TextDelta& delta);
  /// The event that closes what is open.
  std::string close();

 private:
  enum class Kind { none, thinking, text };

  std::string open(Kind kind);
  std::string start(const OrderedJson& block);
  std::string piece(const OrderedJson& delta) const;
  std::string call(const ToolCall& call);

  Kind open_ = Kind::none;
  std::size_t begun_ = 0;  ///< blocks so far
};

}  // namespace tandem::ipc
