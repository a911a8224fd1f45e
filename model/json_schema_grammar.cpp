#include "model/json_schema_grammar.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include "model/json_rules.h"
#include "model/json_schema_numbers.h"
#include "model/json_string_formats.h"
#include "model/ordered_json.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;
using E = Expression;

constexpr int kDeepestSchema = 64;
constexpr std::size_t kMostProperties = 500;
constexpr std::uint32_t kMostCharacters = 1000;
constexpr std::uint32_t kMostItems = 1000;
constexpr std::uint32_t kMostFormatted = 1'000'000;

constexpr std::array<std::string_view, 13> kAnnotations = {
    "title",   "description",   "default", "examples", "deprecated", "readOnly",   "writeOnly",
    "$schema", "discriminator", "$id",     "$comment", "$defs",      "definitions"};

constexpr std::array<std::string_view, 7> kTypes = {"object",  "array",   "string", "number",
                                                    "integer", "boolean", "null"};

/// What stands in for members that are absent.
const Json& no_members() {
  static const Json kNone = Json::object();
  return kNone;
}

const Json* find(const Json& schema, const char* key) {
  const auto found = schema.find(key);
  return found != schema.end() ? &*found : nullptr;
}

bool is_type(const Json& value, std::string_view type) {
  if (type == "number") return value.is_number();
  if (type == "integer") {
    return value.is_number_integer() ||
           (value.is_number_float() && std::trunc(value.get<double>()) == value.get<double>());
  }
  return type == value.type_name();
}

class SchemaCompiler {
 public:
  SchemaCompiler(const Json& root, json_rules::Notation notation)
      : root_(root), notation_(std::move(notation)), rules_(std::move(notation_.rules)) {}

  std::vector<GrammarRule> compile() {
    auto body = schema(root_, "", 0);
    rules_.push_back({"root", std::move(body)});
    return std::move(rules_);
  }

 private:
  using Keywords = std::initializer_list<std::string_view>;

  /// Refuses, by name, what stands beside annotations and is not in `known`.
  static void allow_only(const Json& schema, const std::string& path,
                         const std::vector<std::string_view>& known) {
    for (const auto& [key, value] : schema.items()) {
      const bool ignored = std::ranges::find(kAnnotations, key) != kAnnotations.end();
      if (!ignored && std::ranges::find(known, key) == known.end()) {
        refuse_schema(path, "\"" + key + "\" is not supported here");
      }
    }
  }

  /// A name for a rule; one place may be compiled more than once, where it stands and where it is referred
  /// to.
  std::string unique_name(const std::string& path) { return path + " " + std::to_string(++names_); }

  /// `body` as a rule of its own: what comes at several places is said once.  Copies would double with every
  /// level that schemas are nested.
  E rule_of(const std::string& path, E body) {
    const auto name = unique_name(path);
    rules_.push_back({name, std::move(body)});
    return E::rule(name);
  }

  E schema(const Json& schema, const std::string& path, int depth);
  E reference(const Json& schema, const std::string& path, int depth);
  E alternatives(const Json& schema, const char* key, const std::string& path, int depth);
  void require_exclusive(const Json& list, const std::string& path) const;
  E constants(const Json& schema, const std::string& path);
  E typed(const Json& schema, const std::string& path, int depth);
  E one_type(std::string_view type, const Json& schema, const std::string& path, int depth);
  E object(const Json& schema, const std::string& path, int depth);
  E members(std::vector<std::pair<E, bool>> members, const std::string& path);
  E map(const Json& schema, const std::string& path, int depth);
  E array(const Json& schema, const std::string& path, int depth);
  E tuple(const Json& schema, const std::string& path, int depth, std::uint32_t min,
          std::optional<std::uint32_t> max);
  E string(const Json& schema, const std::string& path);
  E string_of_format(const Json& format, const Json& schema, const std::string& path);

  std::set<std::string> types_of(const Json& schema, const std::string& path) const;
  static std::map<std::string, std::string> required_constants(const Json& schema);
  const Json& resolve(const Json& schema, const std::string& path) const;
  static std::optional<std::uint32_t> count(const Json& schema, const char* key, std::uint32_t most,
                                            const std::string& path);

  const Json& root_;
  json_rules::Notation notation_;
  std::vector<GrammarRule> rules_;
  std::set<std::string> references_;
  std::size_t names_ = 0;
};

E SchemaCompiler::schema(const Json& schema, const std::string& path, int depth) {
  if (depth > kDeepestSchema)
    refuse_schema(path, "nested more than " + std::to_string(kDeepestSchema) + " deep");
  if (schema.is_boolean() && schema.get<bool>()) return E::rule(json_rules::kValue);
  if (schema.is_boolean()) refuse_schema(path, "allows nothing");
  if (!schema.is_object()) refuse_schema(path, "a schema is an object or a boolean");
  if (schema.contains("$ref")) return reference(schema, path, depth);
  for (const auto* key : {"anyOf", "oneOf", "allOf"}) {
    if (schema.contains(key)) return alternatives(schema, key, path, depth);
  }
  if (schema.contains("enum") || schema.contains("const")) return constants(schema, path);
  return typed(schema, path, depth);
}

const Json& SchemaCompiler::resolve(const Json& schema, const std::string& path) const {
  const auto* reference = schema.is_object() ? find(schema, "$ref") : nullptr;
  if (reference == nullptr) return schema;
  const auto text = reference->is_string() ? reference->get<std::string>() : std::string();
  if (text == "#") return root_;
  if (!text.starts_with("#/"))
    refuse_schema(path, "$ref " + reference->dump() + " does not lie within the schema");
  try {
    return root_.at(Json::json_pointer(text.substr(1)));
  } catch (const nlohmann::json::exception&) {
    refuse_schema(path, "$ref " + reference->dump() + " leads nowhere");
  }
}

/// Every target is a rule of its own, so it may contain itself.
E SchemaCompiler::reference(const Json& schema, const std::string& path, int depth) {
  allow_only(schema, path, {"$ref"});
  const auto& target = resolve(schema, path);
  const auto name = schema["$ref"].get<std::string>();
  if (references_.insert(name).second) {
    auto body = this->schema(target, name.substr(1), depth + 1);
    rules_.push_back({name, std::move(body)});
  }
  return E::rule(name);
}

E SchemaCompiler::alternatives(const Json& schema, const char* key, const std::string& path, int depth) {
  allow_only(schema, path, {key});
  const auto& list = schema[key];
  const auto here = path + "/" + key;
  if (!list.is_array() || list.empty()) refuse_schema(here, "is not a list of schemas");
  if (key == std::string_view("allOf") && list.size() > 1)
    refuse_schema(here, "more than one schema is not supported");
  if (key == std::string_view("oneOf")) require_exclusive(list, here);
  std::vector<E> choices;
  for (std::size_t i = 0; i < list.size(); ++i) {
    choices.push_back(this->schema(list[i], here + "/" + std::to_string(i), depth + 1));
  }
  return E::choice(std::move(choices));
}

/// The types that `schema` names, "integer" as "number"; empty if it may be anything.
std::set<std::string> SchemaCompiler::types_of(const Json& schema, const std::string& path) const {
  const auto& target = resolve(schema, path);
  std::set<std::string> types;
  if (!target.is_object()) return types;
  if (const auto* value = find(target, "const")) types.insert(value->type_name());
  if (const auto* type = find(target, "type")) {
    for (const auto& name : type->is_array() ? *type : Json::array({*type})) {
      if (name.is_string()) types.insert(name == "integer" ? "number" : name.get<std::string>());
    }
  }
  return types;
}

/// The properties that an object of `schema` must have and that are constant, with their values' text.
std::map<std::string, std::string> SchemaCompiler::required_constants(const Json& schema) {
  std::map<std::string, std::string> constants;
  const auto* required = schema.is_object() ? find(schema, "required") : nullptr;
  const auto* properties = schema.is_object() ? find(schema, "properties") : nullptr;
  if (required == nullptr || properties == nullptr || !properties->is_object()) return constants;
  std::set<std::string> names;
  for (const auto& name : *required) {
    if (name.is_string()) names.insert(name.get<std::string>());
  }
  for (const auto& [name, property] : properties->items()) {
    const auto* value = property.is_object() ? find(property, "const") : nullptr;
    if (value != nullptr && names.contains(name)) constants[name] = value->dump();
  }
  return constants;
}

/// Alternatives exclude each other if no two have a type in common, or if they are objects which require a
/// property that is another constant in each.
void SchemaCompiler::require_exclusive(const Json& list, const std::string& path) const {
  std::set<std::string> types;
  bool by_type = true;
  for (const auto& item : list) {
    const auto own = types_of(item, path);
    by_type = by_type && !own.empty();
    for (const auto& type : own) by_type = types.insert(type).second && by_type;
  }
  if (by_type) return;

  std::vector<std::map<std::string, std::string>> constants;
  for (const auto& item : list) constants.push_back(required_constants(resolve(item, path)));
  for (const auto& entry : constants.front()) {
    std::set<std::string> values;
    const auto is_another = [&](const auto& own) {
      const auto found = own.find(entry.first);
      return found != own.end() && values.insert(found->second).second;
    };
    if (std::ranges::all_of(constants, is_another)) return;
  }
  refuse_schema(path, "alternatives may both be true of one value", "anyOf says that this does not matter.");
}

E SchemaCompiler::constants(const Json& schema, const std::string& path) {
  allow_only(schema, path, {"enum", "const", "type"});
  const auto* value = find(schema, "const");
  const auto* list = find(schema, "enum");
  if (list != nullptr && !list->is_array()) refuse_schema(path, "\"enum\" is not a list");
  const auto types = types_of(schema, path);
  std::vector<E> choices;
  for (const auto& item : list != nullptr ? *list : Json::array({*value})) {
    const bool is_const = value == nullptr || item == *value;
    const auto* type = find(schema, "type");
    const auto& names = type == nullptr ? Json() : type->is_array() ? *type : Json::array({*type});
    const bool fits = type == nullptr || std::ranges::any_of(names, [&](const Json& name) {
                        return name.is_string() && is_type(item, name.get_ref<const std::string&>());
                      });
    if (is_const && fits) choices.push_back(notation_.constant(item));
  }
  if (choices.empty()) refuse_schema(path, "allows nothing");
  return E::choice(std::move(choices));
}

E SchemaCompiler::typed(const Json& schema, const std::string& path, int depth) {
  const auto* type = find(schema, "type");
  if (type == nullptr) {
    // Keywords of one type say nothing of the others; what is made is of the type they speak of.
    for (const auto* key : {"properties", "required", "additionalProperties"}) {
      if (schema.contains(key)) return one_type("object", schema, path, depth);
    }
    if (schema.contains("items")) return one_type("array", schema, path, depth);
    allow_only(schema, path, {});
    return E::rule(json_rules::kValue);
  }
  if (type->is_string()) return one_type(type->get_ref<const std::string&>(), schema, path, depth);
  if (!type->is_array() || type->empty())
    refuse_schema(path, "\"type\" is neither a name nor a list of names");
  std::vector<E> choices;
  std::set<std::string> names;
  for (const auto& name : *type) {
    if (!name.is_string()) refuse_schema(path, "\"type\" is neither a name nor a list of names");
    const auto& text = name.get_ref<const std::string&>();
    if (names.insert(text).second) choices.push_back(one_type(text, schema, path, depth));
  }
  return E::choice(std::move(choices));
}

E SchemaCompiler::one_type(std::string_view type, const Json& schema, const std::string& path, int depth) {
  if (std::ranges::find(kTypes, type) == kTypes.end())
    refuse_schema(path, "\"" + std::string(type) + "\" is not a type");
  // With several types, each takes the keywords it knows; a keyword that none knows is refused.
  std::vector<std::string_view> known = {"type"};
  const auto has = [&](std::string_view name) {
    const auto* listed = find(schema, "type");
    return name == type || (listed != nullptr && listed->is_array() &&
                            std::ranges::find(*listed, Json(name)) != listed->end());
  };
  const auto add = [&](Keywords keywords) { known.insert(known.end(), keywords); };
  if (has("object")) add({"properties", "required", "additionalProperties"});
  if (has("array")) add({"items", "prefixItems", "minItems", "maxItems"});
  if (has("string")) add({"minLength", "maxLength", "format"});
  if (has("integer") || has("number")) add({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"});
  allow_only(schema, path, known);

  if (type == "object") return object(schema, path, depth);
  if (type == "array") return array(schema, path, depth);
  if (type == "string") return string(schema, path);
  if (type == "integer") return integer_of_schema(schema, path);
  if (type == "number") return number_of_schema(schema, path);
  if (type == "null") return E::literal("null");
  return E::choice({E::literal("true"), E::literal("false")});
}

E SchemaCompiler::object(const Json& schema, const std::string& path, int depth) {
  const auto* properties = find(schema, "properties");
  const auto* required = find(schema, "required");
  const auto* others = find(schema, "additionalProperties");
  if (properties != nullptr && !properties->is_object())
    refuse_schema(path, "\"properties\" is not an object");
  if (required != nullptr && !required->is_array()) refuse_schema(path, "\"required\" is not a list");
  std::set<std::string> missing;
  for (const auto& name : required != nullptr ? *required : Json::array()) {
    if (!name.is_string()) refuse_schema(path, "\"required\" holds something that is not a name");
    missing.insert(name.get<std::string>());
  }
  const bool lists_any = properties != nullptr && !properties->empty();
  if (!lists_any && missing.empty()) return map(schema, path, depth);
  auto names = missing;
  for (const auto& entry : (lists_any ? *properties : no_members()).items()) names.insert(entry.key());
  if (names.size() > kMostProperties) {
    refuse_schema(path, "more than " + std::to_string(kMostProperties) + " properties");
  }

  std::vector<std::pair<E, bool>> all;
  for (const auto& entry : (lists_any ? *properties : no_members()).items()) {
    const bool is_required = missing.erase(entry.key()) > 0;
    auto value = this->schema(entry.value(), path + "/properties/" + entry.key(), depth + 1);
    all.emplace_back(json_rules::member(notation_.key(entry.key()), std::move(value)), is_required);
  }
  if (!missing.empty()) {
    if (others != nullptr && *others == false)
      refuse_schema(path, "requires \"" + *missing.begin() + "\", which it does not allow");
    const auto where = path + "/additionalProperties";
    const auto value =
        rule_of(where, this->schema(others != nullptr ? *others : Json(true), where, depth + 1));
    for (const auto& name : missing) all.emplace_back(json_rules::member(notation_.key(name), value), true);
  }
  return json_rules::in_braces(members(std::move(all), path));
}

/// Members with commas between; each is required or may be left out.
E SchemaCompiler::members(std::vector<std::pair<E, bool>> members, const std::string& path) {
  if (std::ranges::all_of(members, [](const auto& member) { return member.second; })) {
    std::vector<E> parts;
    for (auto& [member, is_required] : members) {
      parts.push_back(parts.empty() ? std::move(member) : json_rules::after_comma(std::move(member)));
    }
    return E::sequence(std::move(parts));
  }
  // Rules BASE>i make members i and following after some other, BASE=i where nothing has come before.
  const auto base = unique_name(path);
  const auto name = [&](char kind, std::size_t i) { return base + kind + std::to_string(i); };
  rules_.push_back({name('>', members.size()), E::sequence({})});
  rules_.push_back({name('=', members.size()), E::sequence({})});
  for (auto i = members.size(); i > 0; --i) {
    const auto& [member, is_required] = members[i - 1];
    const auto following = E::rule(name('>', i));
    auto next = json_rules::after_comma(member);
    auto first = E::sequence({member, following});
    if (!is_required) {
      next = E::optional(std::move(next));
      first = E::choice({std::move(first), E::rule(name('=', i))});
    }
    rules_.push_back({name('>', i - 1), E::sequence({std::move(next), following})});
    rules_.push_back({name('=', i - 1), std::move(first)});
  }
  return E::rule(name('=', 0));
}

/// An object of any keys.
E SchemaCompiler::map(const Json& schema, const std::string& path, int depth) {
  const auto* others = find(schema, "additionalProperties");
  if (others == nullptr || *others == true) return E::rule(json_rules::kObject);
  if (*others == false) return json_rules::in_braces(E::sequence({}));
  const auto where = path + "/additionalProperties";
  auto value = this->schema(*others, where, depth + 1);
  const auto member = rule_of(where, json_rules::member(E::rule(json_rules::kKey), std::move(value)));
  const auto more = E::repeat(json_rules::after_comma(member), 0, E::kUnlimited);
  return json_rules::in_braces(E::optional(E::sequence({member, more})));
}

E SchemaCompiler::array(const Json& schema, const std::string& path, int depth) {
  const auto min = count(schema, "minItems", kMostItems, path).value_or(0);
  const auto max = count(schema, "maxItems", kMostItems, path);
  if (max && *max < min) refuse_schema(path, "allows nothing");
  if (max && *max == 0) return json_rules::in_brackets(E::sequence({}));
  if (schema.contains("prefixItems")) return tuple(schema, path, depth, min, max);
  const auto* items = find(schema, "items");
  auto item =
      items != nullptr ? this->schema(*items, path + "/items", depth + 1) : E::rule(json_rules::kValue);
  const auto one = rule_of(path + "/items", std::move(item));
  const auto more =
      E::repeat(json_rules::after_comma(one), min > 0 ? min - 1 : 0, max ? *max - 1 : E::kUnlimited);
  auto some = E::sequence({one, more});
  return json_rules::in_brackets(min > 0 ? std::move(some) : E::optional(std::move(some)));
}

/// An array of all of "prefixItems", and of others where "items" says what they are.
E SchemaCompiler::tuple(const Json& schema, const std::string& path, int depth, std::uint32_t min,
                        std::optional<std::uint32_t> max) {
  const auto here = path + "/prefixItems";
  const auto& list = schema["prefixItems"];
  if (!list.is_array() || list.empty()) refuse_schema(here, "is not a list of schemas");
  const auto count = list.size();
  if (count > kMostItems) refuse_schema(here, "more than " + std::to_string(kMostItems) + " items");
  if (max && *max < count) refuse_schema(here, "has more than \"maxItems\"");
  std::vector<E> parts;
  for (std::size_t i = 0; i < count; ++i) {
    auto item = this->schema(list[i], here + "/" + std::to_string(i), depth + 1);
    parts.push_back(i == 0 ? std::move(item) : json_rules::after_comma(std::move(item)));
  }
  const auto* items = find(schema, "items");
  const bool has_others = items != nullptr && *items != false;
  if (min > count && !has_others) refuse_schema(here, "has fewer than \"minItems\"");
  if (has_others) {
    const auto where = path + "/items";
    const auto other = rule_of(where, this->schema(*items, where, depth + 1));
    const auto all = static_cast<std::uint32_t>(count);
    parts.push_back(E::repeat(json_rules::after_comma(other), min > all ? min - all : 0,
                              max ? *max - all : E::kUnlimited));
  }
  return json_rules::in_brackets(E::sequence(std::move(parts)));
}

E SchemaCompiler::string(const Json& schema, const std::string& path) {
  if (const auto* format = find(schema, "format")) return string_of_format(*format, schema, path);
  const auto min = count(schema, "minLength", kMostCharacters, path).value_or(0);
  const auto max = count(schema, "maxLength", kMostCharacters, path).value_or(E::kUnlimited);
  if (max < min) refuse_schema(path, "allows nothing");
  if (min == 0 && max == E::kUnlimited) return E::rule(json_rules::kString);
  const auto name = "string " + std::to_string(min) + "-" + std::to_string(max);
  if (references_.insert(name).second) rules_.push_back({name, notation_.string_of(min, max)});
  return E::rule(name);
}

E SchemaCompiler::string_of_format(const Json& format, const Json& schema, const std::string& path) {
  const auto name = format.is_string() ? format.get<std::string>() : std::string();
  auto known = string_format(name);
  if (!known) {
    refuse_schema(path, "\"format\" " + format.dump() + " is not supported here",
                  "Those that are: " + std::string(kStringFormats) + ".");
  }
  const auto min = count(schema, "minLength", kMostFormatted, path).value_or(0);
  const auto max = count(schema, "maxLength", kMostFormatted, path).value_or(E::kUnlimited);
  if (min > known->shortest || max < known->longest) {
    refuse_schema(path, "lengths beside \"format\" \"" + name + "\" must allow " +
                            std::to_string(known->shortest) + " to " + std::to_string(known->longest));
  }
  const auto rule = "format " + name;
  if (references_.insert(rule).second) {
    rules_.push_back({rule, notation_.string_with(std::move(known->characters))});
  }
  return E::rule(rule);
}

std::optional<std::uint32_t> SchemaCompiler::count(const Json& schema, const char* key, std::uint32_t most,
                                                   const std::string& path) {
  const auto* value = find(schema, key);
  if (value == nullptr) return std::nullopt;
  const bool fits = value->is_number_integer() && *value >= 0 && *value <= most;
  if (!fits) {
    refuse_schema(path, "\"" + std::string(key) + "\" is " + value->dump() + ", limits are 0 and " +
                            std::to_string(most));
  }
  return value->get<std::uint32_t>();
}

}  // namespace

std::vector<GrammarRule> json_object_grammar() {
  auto rules = json_rules::json_notation().rules;
  rules.push_back({"root", E::rule(json_rules::kObject)});
  return rules;
}

std::vector<GrammarRule> json_schema_grammar(const Json& schema) {
  return SchemaCompiler(schema, json_rules::json_notation()).compile();
}

std::vector<GrammarRule> schema_grammar(const Json& schema, json_rules::Notation notation) {
  return SchemaCompiler(schema, std::move(notation)).compile();
}

}  // namespace tandem::model
