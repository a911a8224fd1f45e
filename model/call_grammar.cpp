#include "model/call_grammar.h"

#include <map>
#include <utility>

#include "model/json_schema_grammar.h"
#include "model/ordered_json.h"
#include "model/token_trie.h"
#include "model/utf8_ranges.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;
using E = Expression;

/// Characters of strings: no control characters but tab and newline.
E character() {
  return E::one_of(complement({{0, 0x08}, {0x0B, 0x1F}, {0x7F, 0x7F}}));
}

E string_of(std::uint32_t min, std::uint32_t max) {
  return E::sequence({E::literal(kQuoteByte), E::repeat(character(), min, max), E::literal(kQuoteByte)});
}

E string_with(E characters) {
  return E::sequence({E::literal(kQuoteByte), std::move(characters), E::literal(kQuoteByte)});
}

E quoted(const std::string& text) {
  return string_with(E::literal(text));
}

/// Keys are bare, unless a bare one could be read otherwise.
E key(const std::string& name) {
  const bool plain = !name.empty() && name.find_first_of(":,{}[] \t\r\n") == std::string::npos;
  return plain ? E::literal(name) : quoted(name);
}

E any_key() {
  return E::repeat(E::one_of({{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'_', '_'}, {'-', '-'}}), 1, E::kUnlimited);
}

E constant(const Json& value) {
  if (value.is_string()) return quoted(value.get<std::string>());
  if (!value.is_structured()) return E::literal(value.dump());
  std::vector<E> parts = {E::literal(value.is_array() ? "[" : "{")};
  for (const auto& [name, item] : value.items()) {
    if (parts.size() > 1) parts.push_back(E::literal(","));
    if (value.is_object()) parts.push_back(E::sequence({key(name), E::literal(":")}));
    parts.push_back(constant(item));
  }
  parts.push_back(E::literal(value.is_array() ? "]" : "}"));
  return E::sequence(std::move(parts));
}

json_rules::Notation call_notation() {
  return {json_rules::rules_with(E::sequence({}), string_of(0, E::kUnlimited), any_key()), string_of,
          string_with, constant, key};
}

void prefix_rule_names(E& expression, const std::string& prefix) {
  if (expression.kind == E::Kind::rule) expression.text = prefix + expression.text;
  for (auto& part : expression.parts) prefix_rule_names(part, prefix);
}

/// Adds `from` to `to` under names that begin with `prefix`; returns its root.
E add_renamed(std::vector<GrammarRule> from, const std::string& prefix, std::vector<GrammarRule>& to) {
  for (auto& rule : from) {
    rule.name = prefix + rule.name;
    prefix_rule_names(rule.body, prefix);
    to.push_back(std::move(rule));
  }
  return E::rule(prefix + "root");
}

/// `schema` with the properties of every object in alphabetical order.
Json sorted(const Json& schema) {
  if (schema.is_array()) {
    Json list = Json::array();
    for (const auto& item : schema) list.push_back(sorted(item));
    return list;
  }
  if (!schema.is_object()) return schema;
  Json copy = Json::object();
  for (const auto& [name, value] : schema.items()) {
    if (name != "properties" || !value.is_object()) {
      const bool is_value = name == "const" || name == "enum" || name == "default" || name == "examples";
      copy[name] = is_value ? value : sorted(value);
      continue;
    }
    std::map<std::string, Json> properties;
    for (const auto& [property, inner] : value.items()) properties[property] = sorted(inner);
    copy[name] = properties;
  }
  return copy;
}

bool takes_nothing(const Json& parameters) {
  if (parameters.is_null()) return true;
  for (const char* keyword :
       {"$ref", "anyOf", "oneOf", "allOf", "additionalProperties", "required", "enum", "const"}) {
    if (parameters.contains(keyword)) return false;
  }
  const auto properties = parameters.find("properties");
  return properties == parameters.end() || properties->empty();
}

std::vector<GrammarRule> any_arguments() {
  auto rules = call_notation().rules;
  rules.push_back({"root", E::rule(json_rules::kObject)});
  return rules;
}

std::vector<GrammarRule> arguments(const CallableTool& tool) {
  if (takes_nothing(tool.parameters)) return {{"root", E::literal("{}")}};
  try {
    const auto type = tool.parameters.value("type", Json("object"));
    if (type != "object") throw GrammarError("the parameters of \"" + tool.name + "\" are not an object");
    return schema_grammar(sorted(tool.parameters), call_notation());
  } catch (const GrammarError&) {
    if (tool.strict) throw;
    return any_arguments();
  }
}

}  // namespace

std::vector<GrammarRule> call_grammar(std::span<const CallableTool> tools, const CallAnswer& answer) {
  std::vector<GrammarRule> rules;
  std::vector<E> calls;
  for (const auto& tool : tools) {
    const auto prefix = "tool " + std::to_string(calls.size()) + " ";
    calls.push_back(
        E::sequence({E::literal("call:" + tool.name), add_renamed(arguments(tool), prefix, rules)}));
  }
  rules.push_back({"call", E::sequence({E::literal(kCallBeginByte), E::choice(std::move(calls)),
                                        E::literal(kCallEndByte)})});
  const auto call = E::rule("call");
  const auto some_calls = E::repeat(call, 1, answer.several_calls ? E::kUnlimited : 1);
  E root = some_calls;
  if (!answer.must_call && answer.content) {
    root = E::choice({add_renamed(*answer.content, "content ", rules), some_calls});
  } else if (!answer.must_call) {
    root = E::sequence({E::repeat(character(), 0, E::kUnlimited), E::optional(some_calls)});
  }
  rules.push_back({"root", std::move(root)});
  return rules;
}

}  // namespace tandem::model
