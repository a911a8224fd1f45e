#include "ipc/json_fields.h"

#include <vector>

#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

/// nlohmann's message without its "[json.exception...]" tag.
std::string readable(const nlohmann::json::exception& error) {
  const std::string text = error.what();
  const auto end_of_tag = text.find("] ");
  return end_of_tag == std::string::npos ? text : text.substr(end_of_tag + 2);
}

template <typename Number>
[[noreturn]] void refuse_range(const std::string& field, const Json& value, Number min, Number max) {
  refuse_field(field,
               "must be between " + Json(min).dump() + " and " + Json(max).dump() + ", got " + value.dump());
}

/// Reads a body and keeps nothing but what its limits need.  Not a callback of Json::parse: with one, an
/// array of n objects takes n * n steps.
class BodyLimits final : public nlohmann::json_sax<Json> {
 public:
  explicit BodyLimits(std::size_t max_depth) : max_depth_(max_depth) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }

  bool start_object(std::size_t) override { return open(); }
  bool end_object() override { return close(); }
  bool start_array(std::size_t) override { return open(); }
  bool end_array() override { return close(); }

  bool key(string_t& name) override {
    if (++members_.back() > kMaxJsonMembers) {
      throw RequestError(400, kInvalidRequest,
                         "body has an object with more than " + std::to_string(kMaxJsonMembers) + " members");
    }
    if (members_.size() == 1 && !top_.insert(name).second) refuse_field(name, "is there twice");
    return true;
  }

  /// Json::parse comes to the same place, and says it better.
  bool parse_error(std::size_t, const std::string&, const nlohmann::json::exception&) override {
    return false;
  }

 private:
  bool open() {
    if (members_.size() >= max_depth_) {
      throw RequestError(400, kInvalidRequest,
                         "body is nested deeper than the limit json_depth, " + std::to_string(max_depth_));
    }
    members_.push_back(0);
    return true;
  }

  bool close() {
    members_.pop_back();
    return true;
  }

  std::size_t max_depth_;
  std::vector<std::size_t> members_;  ///< of each structure that is open
  std::set<std::string, std::less<>> top_;
};

}  // namespace

Json parse_object(const std::string& text, std::size_t max_depth) {
  if (text.empty()) throw RequestError(400, kInvalidRequest, "body is empty; it must be a JSON object");
  BodyLimits limits(max_depth);
  Json body;
  try {
    Json::sax_parse(text, &limits);
    body = Json::parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw RequestError(400, kInvalidRequest, "body is not valid JSON: " + readable(error));
  }
  if (!body.is_object()) throw RequestError(400, kInvalidRequest, "body must be a JSON object");
  return body;
}

std::string to_text(const OrderedJson& value) {
  return value.dump(-1, ' ', false, OrderedJson::error_handler_t::replace);
}

HttpReply json_reply(const OrderedJson& body, unsigned status) {
  HttpReply reply;
  reply.status = status;
  reply.body = to_text(body) + "\n";
  return reply;
}

void refuse_field(const std::string& field, const std::string& problem) {
  throw RequestError(400, kInvalidRequest, "'" + field + "' " + problem, field);
}

void check_prompt_tok(const std::string& field, std::size_t tok, const Limits& limits) {
  if (tok <= limits.prompt_tok) return;
  refuse_field(field, "has " + std::to_string(tok) + " tokens, the limit prompt_tok is " +
                          std::to_string(limits.prompt_tok));
}

Fields::Fields(const Json& object, std::string prefix) : object_(object), prefix_(std::move(prefix)) {
  if (object_.is_object()) return;
  const std::string name = prefix_.empty() ? "body" : prefix_.substr(0, prefix_.size() - 1);
  refuse_field(name, "must be an object");
}

const Json* Fields::value(std::string_view name) {
  known_.emplace(name);
  const auto found = object_.find(name);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

std::optional<bool> Fields::boolean(std::string_view name) {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_boolean()) refuse_field(full(name), "must be true or false");
  return found->get<bool>();
}

std::optional<std::int64_t> Fields::integer(std::string_view name, std::int64_t min, std::int64_t max) {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number_integer()) refuse_field(full(name), "must be an integer");
  const bool huge = found->is_number_unsigned() && found->get<std::uint64_t>() > INT64_MAX;
  const auto number = found->get<std::int64_t>();
  if (huge || number < min || number > max) refuse_range(full(name), *found, min, max);
  return number;
}

std::optional<double> Fields::number(std::string_view name, double min, double max) {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_number()) refuse_field(full(name), "must be a number");
  const auto number = found->get<double>();
  if (!(number >= min && number <= max)) refuse_range(full(name), *found, min, max);
  return number;
}

std::optional<std::string> Fields::text(std::string_view name) {
  const Json* found = value(name);
  if (found == nullptr) return std::nullopt;
  if (!found->is_string()) refuse_field(full(name), "must be a string");
  return found->get<std::string>();
}

void Fields::refuse_others() const {
  for (const auto& [name, value] : object_.items()) {
    if (!value.is_null() && !known_.contains(name))
      refuse_field(full(name), "is not a field that Tandem knows here");
  }
}

}  // namespace tandem::ipc
