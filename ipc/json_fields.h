#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "ipc/http.h"
#include "ipc/limits.h"
#include "model/ordered_json.h"

namespace tandem::ipc {

using Json = OrderedJson;   ///< for what comes in; the order of a schema's members matters
using tandem::OrderedJson;  ///< for what goes out

/// Members of one object in a body: looking one up takes as long as there are members.
inline constexpr std::size_t kMaxJsonMembers = 1024;

/// Parses a request body, which must be one JSON object nested at most `max_depth` deep, no object with more
/// than kMaxJsonMembers members, no member twice at its top.  Throws RequestError 400 naming the place or the
/// limit.
Json parse_object(const std::string& text, std::size_t max_depth);

/// Never throws: bytes that are not UTF-8 become U+FFFD.
std::string to_text(const OrderedJson& value);

/// An answer with this body.
HttpReply json_reply(const OrderedJson& body, unsigned status = 200);

/// A request error of status 400 about one field.
[[noreturn]] void refuse_field(const std::string& field, const std::string& problem);

/// Refuses the field whose text or ids are more than Limits::prompt_tok tokens.
void check_prompt_tok(const std::string& field, std::size_t tok, const Limits& limits);

/// Typed access to the members of an object.  An absent member and null are the same.  Every accessor throws
/// RequestError 400 with `param` set if the type is another or the value out of range; both ends of a range
/// belong to it.
class Fields {
 public:
  /// `prefix` ("stream_options.") goes before names in messages.  The object outlives this.
  explicit Fields(const Json& object, std::string prefix = {});

  /// The member as it is, nullptr if absent.
  const Json* value(std::string_view name);
  std::optional<bool> boolean(std::string_view name);
  std::optional<std::int64_t> integer(std::string_view name, std::int64_t min, std::int64_t max);
  std::optional<double> number(std::string_view name, double min, double max);
  std::optional<std::string> text(std::string_view name);

  /// Throws for the first member that no accessor has asked for.
  void refuse_others() const;

 private:
  [[nodiscard]] std::string full(std::string_view name) const { return prefix_ + std::string(name); }

  const Json& object_;
  std::string prefix_;
  std::set<std::string, std::less<>> known_;
};

}  // namespace tandem::ipc
