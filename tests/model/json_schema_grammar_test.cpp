#include "model/json_schema_grammar.h"

#include <array>
#include <bit>
#include <chrono>
#include <cstdio>
#include <random>
#include <regex>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/grammar_matcher.h"
#include "model/ordered_json.h"
#include "tests/support/fixture.h"
#include "tests/support/schema_check.h"

namespace tandem::model {
namespace {

using Json = nlohmann::json;
using testing::HasSubstr;

const Tokenizer& tokenizer() {
  static const auto kTokenizer =
      Tokenizer::from_header(read_header(test_support::reference_path("gemma4_vocab.gguf")));
  return *kTokenizer;
}

const TokenTrie& trie() {
  static const TokenTrie kTrie(tokenizer());
  return kTrie;
}

std::shared_ptr<GrammarMasks> masks_of(const std::vector<GrammarRule>& rules) {
  return std::make_shared<GrammarMasks>(std::make_shared<const Grammar>(rules, "root"), trie());
}

std::shared_ptr<GrammarMasks> compile(const std::string& schema) {
  return masks_of(json_schema_grammar(OrderedJson::parse(schema)));
}

/// A random answer, or nothing if it did not end in time.  Tokens with a closing mark are preferred.
std::optional<std::string> random_answer(const std::shared_ptr<GrammarMasks>& grammar, std::mt19937& random) {
  GrammarMatcher matcher(grammar);
  std::string text;
  for (int i = 0; i < 300; ++i) {
    std::vector<TokenId> any;
    std::vector<TokenId> closing;
    const auto words = matcher.allowed().words();
    for (std::size_t w = 0; w < words.size(); ++w) {
      for (auto bits = words[w]; bits != 0; bits &= bits - 1) {
        const auto token = static_cast<TokenId>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
        any.push_back(token);
        const auto bytes = trie().bytes(token);
        if (bytes.empty() || bytes.find_first_of("\"]}") != std::string_view::npos) closing.push_back(token);
      }
    }
    EXPECT_FALSE(any.empty()) << text;
    const auto& from = closing.empty() || random() % 3 == 0 ? any : closing;
    const auto token = from[random() % from.size()];
    EXPECT_TRUE(matcher.accept(token));
    if (trie().bytes(token).empty()) return text;
    text += trie().bytes(token);
  }
  return std::nullopt;
}

bool makes(const std::shared_ptr<GrammarMasks>& grammar, const std::string& text) {
  GrammarMatcher matcher(grammar);
  for (const auto token : tokenizer().encode(text, SpecialText::plain)) {
    if (!matcher.accept(token)) return false;
  }
  return matcher.may_end();
}

const std::vector<std::string>& schemas() {
  static const std::vector<std::string> kSchemas = {
      R"({"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer"}},"required":["name","age"],"additionalProperties":false})",
      R"({"type":"object","properties":{"a":{"type":"string"},"b":{"type":"number"},"c":{"type":"boolean"},"d":{"type":"null"}},"required":["b"]})",
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"integer"},"c":{"type":"integer"}}})",
      R"({"type":"array","items":{"type":"number"},"minItems":2,"maxItems":4})",
      R"({"type":"array","items":{"type":"array","items":{"type":"integer","minimum":-20,"maximum":105}}})",
      R"({"type":"array","maxItems":3})",
      R"({"type":"object","additionalProperties":{"type":"integer"}})",
      R"({"type":"object"})",
      R"({"enum":["red","gr\"een\n",3,2.5,null,true,{"a":[1,{}]},[],"é"]})",
      R"({"type":"string","enum":["x",1,"y"]})",
      R"({"const":{"k":"v"}})",
      R"({"type":["string","null","integer"],"minLength":2,"maxLength":5})",
      R"({"anyOf":[{"type":"string","maxLength":3},{"type":"object","properties":{"x":{"type":"boolean"}},"required":["x"]}]})",
      R"({"oneOf":[{"type":"object","properties":{"kind":{"const":"circle"},"r":{"type":"number"}},"required":["kind","r"],"additionalProperties":false},{"type":"object","properties":{"kind":{"const":"square"},"side":{"type":"number"}},"required":["kind","side"],"additionalProperties":false}]})",
      R"({"oneOf":[{"type":"string"},{"type":"integer"},{"type":"null"}]})",
      R"({"allOf":[{"type":"boolean"}]})",
      R"({"$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},"children":{"type":"array","items":{"$ref":"#/$defs/node"},"maxItems":2}},"required":["value","children"],"additionalProperties":false}},"$ref":"#/$defs/node"})",
      R"({"definitions":{"list":{"anyOf":[{"type":"null"},{"type":"object","properties":{"head":{"type":"string"},"tail":{"$ref":"#/definitions/list"}},"required":["head","tail"]}]}},"type":"object","properties":{"l":{"$ref":"#/definitions/list"}},"required":["l"]})",
      R"({"type":"integer","minimum":7,"maximum":12345})",
      R"({"type":"integer","exclusiveMinimum":-1000,"exclusiveMaximum":-8.5})",
      R"({"type":"integer","minimum":-3})",
      R"({"type":"integer","maximum":0})",
      R"({"type":"integer","minimum":-99,"maximum":100})",
      R"({"type":"number"})",
      R"({"type":"number","minimum":0,"maximum":1})",
      R"({"type":"number","exclusiveMinimum":-12,"exclusiveMaximum":-3})",
      R"({"type":["number","string"],"exclusiveMinimum":0})",
      R"({"type":"string","minLength":1})",
      R"({"type":"string","minLength":3,"maxLength":3})",
      R"({})",
      R"(true)",
      R"({"properties":{"p":{"properties":{"q":{"items":{"type":"boolean"}}},"required":["q"]}},"required":["p","extra"],"additionalProperties":{"type":"null"}})",
      R"({"type":"object","title":"T","description":"D","properties":{"a/b~c":{"type":"boolean","default":true},"\"":{"type":"null"}},"required":["a/b~c"],"$schema":"http://json-schema.org/draft-07/schema#"})"};
  return kSchemas;
}

TEST(JsonSchemaGrammar, CountsCharactersOfLongStrings) {
  const auto up_to = compile(R"({"type":"object","properties":{"note":{"type":"string","maxLength":255}},
                                "required":["note"]})");
  const auto exactly = compile(R"({"type":"string","minLength":1000,"maxLength":1000})");
  const auto characters = [](std::size_t n) {
    std::string text;
    for (std::size_t i = 0; i < n; ++i) text += i % 3 == 0 ? "\xe2\x82\xac" : "a";
    return text;
  };
  for (const std::size_t n : {0U, 1U, 254U, 255U, 256U, 300U}) {
    EXPECT_EQ(makes(up_to, R"({"note":")" + characters(n) + "\"}"), n <= 255) << n;
  }
  for (const std::size_t n : {0U, 999U, 1000U, 1001U}) {
    EXPECT_EQ(makes(exactly, '"' + characters(n) + '"'), n == 1000) << n;
  }
}

TEST(JsonSchemaGrammar, WhatIsMadeIsValid) {
  std::mt19937 random(11);
  int made = 0;
  for (const auto& text : schemas()) {
    const auto grammar = compile(text);
    const test_support::SchemaCheck validator(Json::parse(text));
    int ended = 0;
    for (int i = 0; i < 80; ++i) {
      const auto answer = random_answer(grammar, random);
      if (!answer) continue;
      ++ended;
      const auto value = Json::parse(*answer, nullptr, false);
      ASSERT_FALSE(value.is_discarded()) << text << "\n" << *answer;
      ASSERT_TRUE(validator.accepts(value)) << text << "\n" << *answer;
      // The same value the way others write it is made, too; but constants have one spelling only, and so
      // many digits as numbers with an exponent may get are not made.
      if (text.find("enum") != std::string::npos || text.find("const") != std::string::npos) continue;
      if (answer->find_first_of("eE") != std::string::npos && text.find("number") != std::string::npos)
        continue;
      const auto ordered = OrderedJson::parse(*answer);
      EXPECT_TRUE(makes(grammar, ordered.dump())) << text << "\n" << ordered.dump();
      EXPECT_TRUE(makes(grammar, ordered.dump(2))) << text << "\n" << ordered.dump(2);
    }
    EXPECT_GT(ended, 20) << text;
    made += ended;
  }
  EXPECT_GT(made, 1500);
}

TEST(JsonSchemaGrammar, WhatIsInvalidIsNotMade) {
  std::mt19937 random(12);
  std::vector<std::shared_ptr<GrammarMasks>> all;
  for (const auto& text : schemas()) all.push_back(compile(text));
  int invalid = 0;
  for (const auto& text : schemas()) {
    const auto grammar = compile(text);
    const test_support::SchemaCheck validator(Json::parse(text));
    for (const auto& other : all) {
      const auto answer = random_answer(other, random);
      if (!answer || validator.accepts(Json::parse(*answer))) continue;
      EXPECT_FALSE(makes(grammar, *answer)) << text << "\n" << *answer;
      ++invalid;
    }
  }
  EXPECT_GT(invalid, 300);
}

TEST(JsonSchemaGrammar, BrokenJsonIsNotMade) {
  std::mt19937 random(13);
  int broken = 0;
  for (const auto& text : schemas()) {
    const auto grammar = compile(text);
    for (int i = 0; i < 20; ++i) {
      auto answer = random_answer(grammar, random);
      if (!answer) continue;
      answer->erase(random() % answer->size(), 1);
      if (Json::accept(*answer)) continue;
      EXPECT_FALSE(makes(grammar, *answer)) << text << "\n" << *answer;
      ++broken;
    }
  }
  EXPECT_GT(broken, 200);
}

TEST(JsonSchemaGrammar, IntegersWithinBoundsAreAllMade) {
  const auto grammar = compile(R"({"type":"integer","minimum":-112,"maximum":1205})");
  for (int i = -1300; i <= 1300; ++i) {
    EXPECT_EQ(makes(grammar, std::to_string(i)), i >= -112 && i <= 1205) << i;
  }
  EXPECT_FALSE(makes(grammar, "-0"));
  EXPECT_FALSE(makes(grammar, "007"));
}

TEST(JsonSchemaGrammar, NumbersWithinBoundsAreAllMade) {
  for (const auto* bounds :
       {R"("minimum":0,"maximum":1)", R"("exclusiveMinimum":0,"exclusiveMaximum":12)",
        R"("minimum":-2,"exclusiveMaximum":3)", R"("exclusiveMinimum":-11,"maximum":-2)", R"("minimum":5)",
        R"("maximum":0)", R"("exclusiveMaximum":0)", R"("minimum":3,"maximum":3)",
        R"("minimum":-1,"exclusiveMinimum":-1,"maximum":9,"exclusiveMaximum":10)"}) {
    const auto schema = std::string(R"({"type":"number",)") + bounds + "}";
    const auto grammar = compile(schema);
    const test_support::SchemaCheck validator(Json::parse(schema));
    for (int i = -1300; i <= 1300; ++i) {
      const auto magnitude = std::to_string(std::abs(i));
      const auto tenths = std::string(magnitude.size() < 3 ? 3 - magnitude.size() : 0, '0') + magnitude;
      const auto text =
          (i < 0 ? "-" : "") + tenths.substr(0, tenths.size() - 2) + "." + tenths.substr(tenths.size() - 2);
      EXPECT_EQ(makes(grammar, text), validator.accepts(Json::parse(text))) << schema << " " << text;
      if (i % 100 != 0) continue;
      const auto whole = std::to_string(i / 100);
      EXPECT_EQ(makes(grammar, whole), validator.accepts(Json::parse(whole))) << schema << " " << whole;
    }
  }
}

TEST(JsonSchemaGrammar, AnyJsonObject) {
  const auto grammar = masks_of(json_object_grammar());
  EXPECT_TRUE(makes(grammar, R"({})"));
  EXPECT_TRUE(makes(grammar, R"({"a": [1, -2.5e+3, {"b": null}], "\ud83d\ude00": "\u00e9\n😀"})"));
  for (const auto* text :
       {"[]", "1", "{", R"({"a"})", R"({"a":01})", R"({"a":"\ud83d"})", R"({"a":"\ude00x"})", R"({a:1})",
        "{\"a\":\"\n\"}", R"({"a":1,})", R"({} )", R"({"a":+1})", R"({"a":tru})"}) {
    EXPECT_FALSE(makes(grammar, text)) << text;
  }
  std::mt19937 random(14);
  for (int i = 0; i < 200; ++i) {
    const auto answer = random_answer(grammar, random);
    if (!answer) continue;
    EXPECT_TRUE(Json::parse(*answer).is_object()) << *answer;
  }
}

/// Whether the calendar of the standard library has the day YYYY-MM-DD.
bool is_date(const std::string& text) {
  const auto number = [&text](std::size_t at, std::size_t count) {
    return std::stoi(text.substr(at, count));
  };
  return std::chrono::year_month_day(std::chrono::year(number(0, 4)),
                                     std::chrono::month(static_cast<unsigned>(number(5, 2))),
                                     std::chrono::day(static_cast<unsigned>(number(8, 2))))
      .ok();
}

TEST(JsonSchemaGrammar, AllDatesAreMadeAndNoOthers) {
  const auto grammar = compile(R"({"type":"string","format":"date"})");
  for (const int year : {1000, 1900, 1904, 2000, 2023, 2024, 2100, 2400, 9999}) {
    for (int month = 0; month <= 13; ++month) {
      for (const int day : {0, 1, 9, 10, 28, 29, 30, 31, 32}) {
        std::array<char, 32> text{};
        std::snprintf(text.data(), text.size(), "%04d-%02d-%02d", year, month, day);
        EXPECT_EQ(makes(grammar, '"' + std::string(text.data()) + '"'), is_date(text.data())) << text.data();
      }
    }
  }
}

TEST(JsonSchemaGrammar, StringsHaveTheirFormat) {
  struct Case {
    std::string format;
    std::string shape;  ///< what its RFC says, loosely
    std::vector<std::string> made;
    std::vector<std::string> not_made;
  };
  const std::string clock = R"(([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d))";
  const std::vector<Case> cases = {
      {"date", R"(\d{4}-\d\d-\d\d)", {"2024-02-29"}, {"2023-02-29", "24-02-01", ""}},
      {"time", clock, {"23:59:59Z", "07:00:00.125+05:30"}, {"24:00:00Z", "07:60:00Z", "07:00Z", "07:00:00"}},
      {"date-time",
       R"(\d{4}-\d\d-\d\dT)" + clock,
       {"2026-11-22T20:15:00Z"},
       {"2026-11-22", "2026-11-22 20:15:00Z"}},
      {"duration",
       R"(P(\d+D)?(T(\d+H)?(\d+M)?(\d+S)?)?)",
       {"P3D", "PT36H", "P1DT2H30M5S", "PT5S"},
       {"P", "PT", "P1DT", "3D", "PT1H5S"}},
      {"uuid",
       R"([0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12})",
       {"123e4567-e89b-12d3-a456-426614174000"},
       {"123e4567e89b12d3a456426614174000", "123e4567-e89b-12d3-a456-42661417400g"}},
      {"email",
       R"([a-z0-9]+([._+-][a-z0-9]+)*@([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]+)",
       {"jane.doe+lists@mail.example.org"},
       {"jane", "jane@", "@example.org", ".jane@example.org", "jane@example", "a b@example.org"}},
      {"hostname",
       R"(([a-z0-9]+(-[a-z0-9]+)*\.)+[a-z]+)",
       {"a-1.example.org"},
       {"-a.example.org", "a..org", "a_b.org"}},
      {"ipv4", R"((\d{1,3}\.){3}\d{1,3})", {"0.0.0.0", "255.249.10.1"}, {"256.0.0.1", "1.2.3", "01.2.3.4"}},
      {"ipv6",
       R"(([0-9a-f]{1,4}:){7}[0-9a-f]{1,4})",
       {"2001:db8:0:0:0:0:0:1"},
       {"2001:db8", "1:2:3:4:5:6:7:8:9"}},
      {"uri",
       R"(https?://[a-z0-9.-]+(/[\w.~-]*)*(\?[\w.=&-]*)?)",
       {"https://www.example.org/a/b.html?x=1&y=2", "http://example.org"},
       {"example.org", "https://", "https://example.org/a b", "ftp://example.org"}}};
  std::mt19937 random(15);
  for (const auto& one : cases) {
    const auto grammar = compile(R"({"type":"string","format":")" + one.format + "\"}");
    for (const auto& text : one.made)
      EXPECT_TRUE(makes(grammar, '"' + text + '"')) << one.format << " " << text;
    for (const auto& text : one.not_made)
      EXPECT_FALSE(makes(grammar, '"' + text + '"')) << one.format << " " << text;
    const std::regex shape(one.shape);
    int ended = 0;
    for (int i = 0; i < 60; ++i) {
      const auto answer = random_answer(grammar, random);
      if (!answer) continue;
      ++ended;
      const auto text = Json::parse(*answer).get<std::string>();
      EXPECT_TRUE(std::regex_match(text, shape)) << one.format << " " << text;
      const bool begins_with_date = one.format == "date" || one.format == "date-time";
      EXPECT_TRUE(!begins_with_date || is_date(text.substr(0, 10))) << text;
    }
    EXPECT_GT(ended, 20) << one.format;
  }
}

TEST(JsonSchemaGrammar, TuplesHaveAllTheirItems) {
  const auto pair =
      compile(R"({"type":"array","prefixItems":[{"type":"integer"},{"type":"string","format":"ipv4"}],
                               "minItems":2,"maxItems":2})");
  EXPECT_TRUE(makes(pair, R"([7, "1.2.3.4"])"));
  for (const auto* text : {"[]", "[7]", R"(["1.2.3.4", 7])", R"([7, "1.2.3.4", 8])", R"([7, "x"])"}) {
    EXPECT_FALSE(makes(pair, text)) << text;
  }
  const auto open = compile(R"({"type":"array","prefixItems":[{"type":"null"}],"items":{"type":"boolean"},
                               "minItems":2,"maxItems":3})");
  EXPECT_TRUE(makes(open, "[null,true]"));
  EXPECT_TRUE(makes(open, "[null, true, false]"));
  for (const auto* text : {"[null]", "[null,true,true,true]", "[null,null]", "[true,true]"}) {
    EXPECT_FALSE(makes(open, text)) << text;
  }
  const auto only = compile(R"({"type":"array","prefixItems":[{"type":"null"}],"items":false})");
  EXPECT_TRUE(makes(only, "[null]"));
  EXPECT_FALSE(makes(only, "[null,1]"));
}

std::string refusal_of(const std::string& schema) {
  try {
    compile(schema);
    return "";
  } catch (const GrammarError& error) {
    return error.what();
  }
}

TEST(JsonSchemaGrammar, RefusesByName) {
  EXPECT_THAT(refusal_of(R"({"type":"object","properties":{"x":{"type":"string","pattern":"^a"}}})"),
              testing::AllOf(HasSubstr("/properties/x"), HasSubstr("\"pattern\"")));
  for (const std::string keyword :
       {"format", "minLength", "multipleOf", "uniqueItems", "not", "if", "prefixItems", "patternProperties",
        "nullable", "minProperties", "unheard-of"}) {
    EXPECT_THAT(refusal_of(R"({"type":"integer",")" + keyword + R"(":1})"), HasSubstr("\"" + keyword + "\""));
  }
  EXPECT_THAT(refusal_of(R"({"type":"string","format":"password"})"), HasSubstr("\"format\" \"password\""));
  EXPECT_THAT(refusal_of(R"({"type":"string","format":1})"), HasSubstr("\"format\" 1"));
  EXPECT_THAT(refusal_of(R"({"type":"string","format":"date","maxLength":3})"),
              HasSubstr("must allow 10 to 10"));
  EXPECT_THAT(refusal_of(R"({"type":"string","format":"uri","minLength":1,"maxLength":2083})"),
              testing::IsEmpty());
  EXPECT_THAT(refusal_of(R"({"type":"array","prefixItems":[]})"), HasSubstr("/prefixItems"));
  EXPECT_THAT(refusal_of(R"({"type":"array","prefixItems":[{}],"minItems":2})"), HasSubstr("minItems"));
  EXPECT_THAT(refusal_of(R"({"type":"array","prefixItems":[{},{}],"maxItems":1})"), HasSubstr("maxItems"));
  EXPECT_THAT(refusal_of(R"({"type":"number","minimum":0.5})"), HasSubstr("whole numbers"));
  EXPECT_THAT(refusal_of(R"({"type":"number","maximum":"1"})"), HasSubstr("\"maximum\" is not a number"));
  EXPECT_THAT(refusal_of(R"({"type":"string","maxLength":1001})"), HasSubstr("limits are 0 and 1000"));
  EXPECT_THAT(refusal_of(R"({"type":"string","maxLength":-1})"), HasSubstr("limits"));
  EXPECT_THAT(refusal_of(R"({"type":"array","items":{"$ref":"http://x"}})"),
              HasSubstr("does not lie within"));
  EXPECT_THAT(refusal_of(R"({"$ref":"#/$defs/x"})"), HasSubstr("leads nowhere"));
  EXPECT_THAT(refusal_of(R"({"$ref":"#/~7"})"), HasSubstr("leads nowhere"));
  EXPECT_THAT(refusal_of(R"({"$ref":5})"), HasSubstr("$ref"));
  EXPECT_THAT(refusal_of(R"({"anyOf":[]})"), HasSubstr("list of schemas"));
  EXPECT_THAT(refusal_of(R"({"anyOf":[{}],"type":"string"})"), HasSubstr("\"type\""));
  EXPECT_THAT(refusal_of(R"({"allOf":[{},{}]})"), HasSubstr("more than one"));
  EXPECT_THAT(refusal_of(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), HasSubstr("both be true"));
  EXPECT_THAT(refusal_of(R"({"type":"text"})"), HasSubstr("\"text\" is not a type"));
  EXPECT_THAT(refusal_of(R"({"type":7})"), HasSubstr("\"type\""));
  EXPECT_THAT(refusal_of("7"), HasSubstr("a schema is"));
  EXPECT_THAT(refusal_of(R"({"type":"object","properties":[]})"), HasSubstr("\"properties\""));
  EXPECT_THAT(refusal_of(R"({"type":"object","required":"x"})"), HasSubstr("\"required\""));
}

TEST(JsonSchemaGrammar, RefusesWhatAllowsNothing) {
  for (const auto* schema :
       {"false", R"({"enum":[]})", R"({"type":"string","enum":[1]})", R"({"const":1,"enum":[2]})",
        R"({"type":"integer","minimum":5,"maximum":4})", R"({"type":"number","minimum":5,"maximum":4})",
        R"({"type":"number","minimum":5,"exclusiveMaximum":5})",
        R"({"type":"integer","exclusiveMinimum":5,"exclusiveMaximum":6})",
        R"({"type":"string","minLength":3,"maxLength":2})", R"({"type":"array","minItems":3,"maxItems":2})",
        R"({"type":"array","items":false})",
        R"({"type":"object","required":["x"],"additionalProperties":false})"}) {
    EXPECT_NE(refusal_of(schema), "") << schema;
  }
  EXPECT_THAT(
      refusal_of(
          R"({"$defs":{"n":{"type":"object","properties":{"n":{"$ref":"#/$defs/n"}},"required":["n"]}},"$ref":"#/$defs/n"})"),
      HasSubstr("never ends"));
  EXPECT_THAT(refusal_of(R"({"$defs":{"n":{"$ref":"#/$defs/n"}},"$ref":"#/$defs/n"})"),
              HasSubstr("never ends"));
  std::string deep = "{}";
  for (int i = 0; i < 100; ++i) deep = R"({"type":"array","items":)" + deep + "}";
  EXPECT_THAT(refusal_of(deep), HasSubstr("deep"));
}

std::size_t piece_count(const Expression& e) {
  std::size_t count = 1;
  for (const auto& part : e.parts) count += piece_count(part);
  return count;
}

/// Pieces of the grammar of `around` with itself, `depth` times, in the place of its S.
std::size_t nested_piece_count(const std::string& around, int depth) {
  std::string schema = R"({"type":"boolean"})";
  for (int i = 0; i < depth; ++i) schema = std::string(around).replace(around.find('S'), 1, schema);
  std::size_t count = 0;
  for (const auto& rule : json_schema_grammar(OrderedJson::parse(schema))) count += piece_count(rule.body);
  return count;
}

/// What comes at several places of an answer is not compiled for each: some hundred bytes of schema would
/// take all memory there is.
TEST(JsonSchemaGrammar, GrowsAsTheSchemaDoes) {
  for (const auto* around :
       {R"({"type":"object","additionalProperties":S})",
        R"({"type":"object","required":["x","y"],"additionalProperties":S})",
        R"({"type":["object","object"],"properties":{"x":S},"required":["x"]})",
        R"({"type":"object","properties":{"x":S,"y":{}}})", R"({"type":"array","minItems":2,"items":S})",
        R"({"anyOf":[S,{"type":"null"}]})"}) {
    const auto more = nested_piece_count(around, 6) - nested_piece_count(around, 5);
    EXPECT_EQ(nested_piece_count(around, 7) - nested_piece_count(around, 6), more) << around;
  }
}

}  // namespace
}  // namespace tandem::model
