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

}  // namespace

Json parse_object(const std::string& text, std::size_t max_depth) {
  std::set<std::string, std::less<>> seen;
  std::vector<std::size_t> members(max_depth + 1);  // of the open object, by depth
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    using Event = Json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && static_cast<std::size_t>(depth) >= max_depth) {
      throw RequestError(400, kInvalidRequest,
                         "body is nested deeper than the limit json_depth, " + std::to_string(max_depth));
    }
    if (opens) members[static_cast<std::size_t>(depth) + 1] = 0;
    if (event == Event::key && ++members[static_cast<std::size_t>(depth)] > kMaxJsonMembers) {
      throw RequestError(400, kInvalidRequest,
                         "body has an object with more than " + std::to_string(kMaxJsonMembers) + " members");
    }
    if (event == Event::key && depth == 1 && !seen.insert(parsed.get<std::string>()).second) {
      refuse_field(parsed.get<std::string>(), "is there twice");
    }
    return true;
  };
  Json body;
  try {
    body = Json::parse(text, check);
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
