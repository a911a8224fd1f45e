#pragma once

#include <cstdint>
#include <string>
#include <utility>

#include "ipc/event_stream.h"
#include "ipc/json_fields.h"
#include "ipc/openai_response_tools.h"

namespace tandem::ipc {

/// What every object of one answer of POST /v1/responses begins with.
struct ResponseHead {
  std::string id;
  std::string model;
  std::uint64_t created_unix_s = 0;
  OrderedJson repeated;  ///< OpenaiResponseRequest::repeated
};

/// The object "response": `status` is in_progress, completed, incomplete or failed.
OrderedJson response_object(const ResponseHead& head, const std::string& status, OrderedJson output);

/// "completed" or, where the answer met a limit, "incomplete".
const char* response_status(const Finished& finished);
/// Adds "usage", and why an incomplete answer is so.
void add_response_end(OrderedJson& object, const Finished& finished);

/// The items of a whole answer: thoughts, a message, calls.
OrderedJson response_output(const TextDelta& said, const Finished& finished, const SpacedNames& spaced);

/// Writes a streamed answer's items as events: opens one where the kind of what is said changes, closes it
/// again, and keeps what was said for the last event, which repeats everything.
class ResponseItems {
 public:
  /// Calls of the functions in `spaced` bear their namespace.
  explicit ResponseItems(SpacedNames spaced) : spaced_(std::move(spaced)) {}

  /// The events that say `delta`.
  std::string say(const TextDelta& delta);
  /// The events that close what is open; `status` is "completed" or "incomplete".
  std::string close(const char* status);

  /// An event of this stream, numbered.
  std::string event(const std::string& type, const OrderedJson& members);
  [[nodiscard]] const OrderedJson& output() const noexcept { return output_; }
  [[nodiscard]] const SpacedNames& spaced() const noexcept { return spaced_; }

 private:
  enum class Kind { none, reasoning, message };

  std::string open(Kind kind);
  std::string text(Kind kind, const std::string& piece);
  std::string call(const ToolCall& call);
  /// Members that name the part of the item being written.
  [[nodiscard]] OrderedJson part_of() const;

  const SpacedNames spaced_;
  Kind open_ = Kind::none;
  std::string item_id_;
  std::string said_;  ///< in the open item
  std::uint64_t events_ = 0;
  OrderedJson output_ = OrderedJson::array();  ///< items that are closed
};

}  // namespace tandem::ipc
