#include "model/gemma4_values.h"

#include <algorithm>
#include <array>

#include "model/chat.h"
#include "model/ordered_json.h"
#include "model/python_text.h"
#include "model/utf8.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;
using Keys = Gemma4Values::Keys;

constexpr int kDeepestValue = 100;

bool is_deeper(const Json& value, int levels) {
  if (!value.is_structured()) return false;
  if (levels == 0) return true;
  return std::ranges::any_of(value, [&](const Json& item) { return is_deeper(item, levels - 1); });
}

/// Writes commas between what follows one another.
class Commas {
 public:
  explicit Commas(PieceWriter& out) : out_(out) {}
  void next() {
    if (written_) out_.plain(",");
    written_ = true;
  }

 private:
  PieceWriter& out_;
  bool written_ = false;
};

/// A member as the template reads it: null if `value` is no map or has no such member.
const Json* member(const Json& value, const char* key) {
  if (!value.is_object()) return nullptr;
  const auto found = value.find(key);
  return found != value.end() ? &*found : nullptr;
}

bool is_true(const Json* value) {
  return value != nullptr && python_true(*value);
}

/// Undefined is written as nothing.
std::string text_of(const Json* value) {
  return value != nullptr ? python_str(*value) : std::string();
}

/// What a loop of the template runs over: items of a list, keys of a map, characters of a text.
std::vector<Json> elements(const Json& value, const char* what) {
  if (value.is_array()) return {value.begin(), value.end()};
  std::vector<Json> items;
  if (value.is_object()) {
    for (const auto& entry : value.items()) items.emplace_back(entry.key());
    return items;
  }
  if (!value.is_string()) throw ChatError(std::string("tool declaration: ") + what + " is not a list");
  std::string_view text = value.get_ref<const std::string&>();
  while (!text.empty()) {
    const auto bytes = utf8_front(text).bytes;
    items.emplace_back(text.substr(0, bytes));
    text.remove_prefix(bytes);
  }
  return items;
}

/// The parts of a declaration.
class Declaration {
 public:
  Declaration(const Gemma4Rules& rules, PieceWriter& out) : rules_(rules), out_(out), values_(rules, out) {}

  void write(const Json& function);

 private:
  void response(const Json& response);
  void properties(const Json* properties, bool drop_keywords);
  void property(const Json& schema);
  void object_members(const Json& schema, Commas& commas);
  void items(const Json& items);
  void item_type(const Json& type);
  void text_list(const Json& list);

  const Gemma4Rules& rules_;
  PieceWriter& out_;
  Gemma4Values values_;
};

void Declaration::write(const Json& function) {
  out_.plain("declaration:" + text_of(member(function, "name")) + "{description:");
  values_.quoted(text_of(member(function, "description")));
  if (const auto* parameters = member(function, "parameters"); is_true(parameters)) {
    out_.plain(",parameters:{");
    if (const auto* listed = member(*parameters, "properties"); is_true(listed)) {
      out_.plain("properties:{");
      properties(listed, rules_.drops_keyword_properties);
      out_.plain("},");
    }
    if (const auto* required = member(*parameters, "required"); is_true(required)) {
      out_.plain("required:[");
      text_list(*required);
      out_.plain("],");
    }
    if (const auto* type = member(*parameters, "type"); is_true(type)) {
      out_.plain("type:");
      values_.quoted(python_upper(python_str(*type)));
      out_.plain("}");  // here, so it is missing where there is no type
    }
  }
  if (const auto* declared = member(function, "response")) response(*declared);
  out_.plain("}");
}

void Declaration::response(const Json& response) {
  out_.plain(",response:{");
  if (const auto* description = member(response, "description"); is_true(description)) {
    out_.plain("description:");
    values_.quoted(python_str(*description));
    out_.plain(",");
  }
  const auto type = python_upper(text_of(member(response, "type")));
  if (type != "OBJECT") return;
  out_.plain("type:");
  values_.quoted(type);
  out_.plain("}");
}

void Declaration::properties(const Json* properties, bool drop_keywords) {
  if (properties == nullptr || !properties->is_object()) {
    throw ChatError("tool declaration: properties are not an object");
  }
  constexpr std::array<std::string_view, 5> kKeywords = {"description", "type", "properties", "required",
                                                         "nullable"};
  Commas commas(out_);
  for (const auto& [key, schema] : sorted_members(*properties)) {
    if (drop_keywords && std::ranges::find(kKeywords, key) != kKeywords.end()) continue;
    commas.next();
    out_.plain(key);
    out_.plain(":{");
    property(*schema);
    out_.plain("}");
  }
}

void Declaration::property(const Json& schema) {
  Commas commas(out_);
  const auto type = python_upper(text_of(member(schema, "type")));
  if (const auto* description = member(schema, "description"); is_true(description)) {
    commas.next();
    out_.plain("description:");
    values_.quoted(python_str(*description));
  }
  const auto* choices = member(schema, "enum");
  if (type == "STRING" && is_true(choices)) {
    commas.next();
    out_.plain("enum:");
    values_.write(*choices, Keys::quoted);
  }
  const auto* item_schema = member(schema, "items");
  if (type == "ARRAY" && is_true(item_schema) && item_schema->is_object()) {
    commas.next();
    items(*item_schema);
  }
  if (is_true(member(schema, "nullable"))) {
    commas.next();
    out_.plain("nullable:true");
  }
  if (type == "OBJECT") object_members(schema, commas);
  commas.next();
  out_.plain("type:");
  values_.quoted(type);
}

void Declaration::object_members(const Json& schema, Commas& commas) {
  const auto* listed = member(schema, "properties");
  const bool has_properties = listed != nullptr && listed->is_object();
  commas.next();
  out_.plain("properties:{");
  // Without properties the template takes the schema itself for them, keywords left out.
  properties(has_properties ? listed : &schema, !has_properties || rules_.drops_keyword_properties);
  out_.plain("}");
  if (const auto* required = member(schema, "required"); is_true(required)) {
    commas.next();
    out_.plain("required:[");
    text_list(*required);
    out_.plain("]");
  }
}

void Declaration::items(const Json& items) {
  out_.plain("items:{");
  Commas commas(out_);
  for (const auto& [key, value] : sorted_members(items)) {
    if (value->is_null()) continue;
    commas.next();
    if (key == "properties") {
      out_.plain("properties:{");
      if (value->is_object()) properties(value, rules_.drops_keyword_properties);
      out_.plain("}");
    } else if (key == "required") {
      out_.plain("required:[");
      text_list(*value);
      out_.plain("]");
    } else if (key == "type") {
      item_type(*value);
    } else {
      out_.plain(key);
      out_.plain(":");
      values_.write(*value, Keys::quoted);
    }
  }
  out_.plain("}");
}

void Declaration::item_type(const Json& type) {
  out_.plain("type:");
  if (type.is_string()) return values_.quoted(python_upper(type.get_ref<const std::string&>()));
  auto names = Json::array();
  for (const auto& name : elements(type, "a type")) names.push_back(python_upper(python_str(name)));
  values_.write(names, Keys::quoted);
}

void Declaration::text_list(const Json& list) {
  Commas commas(out_);
  for (const auto& item : elements(list, "\"required\"")) {
    commas.next();
    values_.quoted(python_str(item));
  }
}

}  // namespace

void require_shallow(const Json& value, const std::string& what) {
  if (!is_deeper(value, kDeepestValue)) return;
  throw ChatError(what + ": nested more than " + std::to_string(kDeepestValue) + " deep");
}

void Gemma4Values::quoted(std::string_view text) {
  out_.control("<|\"|>");
  out_.plain(text);
  out_.control("<|\"|>");
}

void Gemma4Values::members(const Json& map, Keys keys) {
  Commas commas(out_);
  for (const auto& [key, value] : sorted_members(map)) {
    commas.next();
    if (keys == Keys::quoted) {
      quoted(key);
    } else {
      out_.plain(key);
    }
    out_.plain(":");
    write(*value, keys);
  }
}

void Gemma4Values::write(const Json& value, Keys keys) {
  if (value.is_string()) return quoted(value.get_ref<const std::string&>());
  if (value.is_boolean()) return out_.plain(value.get<bool>() ? "true" : "false");
  if (value.is_null()) return out_.plain(rules_.null_is_none ? "None" : "null");
  if (value.is_number()) return out_.plain(python_str(value));
  if (value.is_object()) {
    out_.plain("{");
    members(value, keys);
    return out_.plain("}");
  }
  out_.plain("[");
  Commas commas(out_);
  for (const auto& item : value) {
    commas.next();
    write(item, keys);
  }
  out_.plain("]");
}

void write_declaration(const Json& function, const Gemma4Rules& rules, PieceWriter& out) {
  require_shallow(function, "tool declaration");
  Declaration(rules, out).write(function);
}

}  // namespace tandem::model
