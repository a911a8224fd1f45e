#include "model/call_grammar.h"

#include <bit>
#include <map>
#include <optional>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/answer_constraint.h"
#include "model/chat_parser.h"
#include "model/json_schema_grammar.h"
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
  static const TokenTrie kTrie(tokenizer(), CallMarkup::as_bytes);
  return kTrie;
}

bool accepts(const OrderedJson& schema, const std::string& value) {
  return test_support::SchemaCheck(Json(schema)).accepts(Json::parse(value));
}

CallableTool tool(const std::string& name, const char* parameters, bool strict = true) {
  return {name, OrderedJson::parse(parameters), strict};
}

const std::vector<CallableTool>& tools() {
  static const std::vector<CallableTool> kTools = {
      tool("get_weather", R"({"type":"object","properties":{"unit":{"enum":["C","F °",null,2.5,true]},
          "city":{"type":"string"},"days":{"type":"integer","minimum":-3,"maximum":12}},
          "required":["city","unit"],"additionalProperties":false})"),
      tool("tree.make", R"({"$defs":{"node":{"type":"object","properties":{"v":{"type":["number","null"]},
          "children":{"type":"array","items":{"$ref":"#/$defs/node"},"maxItems":2}},
          "required":["v","children"],"additionalProperties":false}},"$ref":"#/$defs/node"})"),
      tool("odd-keys", R"({"type":"object","properties":{"a key":{"type":"string","maxLength":3},"b:c":
          {"type":"boolean"},"":{"const":{"k":["x",1]}},"é":{"type":"null"}},
          "required":["a key","b:c","","é"],"additionalProperties":false})"),
      tool("now", R"({"type":"object","properties":{}})"),
  };
  return kTools;
}

const OrderedJson& parameters_of(const std::string& name) {
  for (const auto& one : tools()) {
    if (one.name == name) return one.parameters;
  }
  throw std::runtime_error("no tool " + name);
}

std::shared_ptr<GrammarMasks> masks_of(const std::vector<GrammarRule>& rules) {
  return std::make_shared<GrammarMasks>(std::make_shared<const Grammar>(rules, "root"), trie());
}

/// A random answer as an engine would make it, taken apart; nothing if it did not end in time.
std::optional<std::vector<AnswerEvent>> random_answer(AnswerConstraint constraint, const AnswerStart& start,
                                                      std::mt19937& random) {
  ChatParser parser(tokenizer(), ChatTemplate::gemma4_r4, start);
  std::vector<AnswerEvent> events;
  const auto take = [&](std::span<const AnswerEvent> some) {
    events.insert(events.end(), some.begin(), some.end());
  };
  for (int i = 0; i < 400; ++i) {
    std::vector<TokenId> any;
    std::vector<TokenId> closing;
    const auto words = constraint.allowed().words();
    for (std::size_t w = 0; w < words.size(); ++w) {
      for (auto bits = words[w]; bits != 0; bits &= bits - 1) {
        const auto token = static_cast<TokenId>(w * 64 + static_cast<std::size_t>(std::countr_zero(bits)));
        any.push_back(token);
        const auto bytes = trie().bytes(token);
        const bool closes = bytes.empty() || bytes == kQuoteByte || bytes.find_first_of("]}") != bytes.npos;
        if (closes || bytes == kCallEndByte) closing.push_back(token);
      }
    }
    EXPECT_FALSE(any.empty());
    const auto& from = closing.empty() || random() % 3 == 0 ? any : closing;
    const auto token = from[random() % from.size()];
    EXPECT_TRUE(constraint.accept(token));
    if (tokenizer().ends_generation(token)) {
      take(parser.finish());
      return events;
    }
    take(parser.push(token));
  }
  return std::nullopt;
}

void expect_valid(const ToolCall& call) {
  const auto& parameters = parameters_of(call.name);
  EXPECT_TRUE(accepts(parameters, call.arguments)) << call.name << " " << call.arguments;
}

TEST(CallGrammar, RequiredCallsAreReadAndValid) {
  std::mt19937 random(1);
  const auto masks =
      masks_of(call_grammar(tools(), {.must_call = true, .several_calls = true, .content = {}}));
  const AnswerStart start{false, "call:"};
  std::map<std::string, int> calls;
  int several = 0;
  for (int i = 0; i < 400; ++i) {
    const auto events = random_answer(
        {masks, tokenizer(), ThoughtFirst::no, std::string(kCallBeginByte) + "call:"}, start, random);
    if (!events) continue;
    several += static_cast<int>(events->size() > 1);
    ASSERT_FALSE(events->empty());
    for (const auto& event : *events) {
      const auto* call = std::get_if<ToolCall>(&event);
      ASSERT_NE(call, nullptr) << std::get<ContentDelta>(event).text;
      expect_valid(*call);
      ++calls[call->name];
    }
  }
  EXPECT_EQ(calls.size(), tools().size());
  for (const auto& [name, count] : calls) EXPECT_GT(count, 20) << name;
  EXPECT_GT(several, 20);
}

TEST(CallGrammar, OneCallOfANamedToolIsOne) {
  std::mt19937 random(2);
  const auto masks =
      masks_of(call_grammar({tools().data(), 1}, {.must_call = true, .several_calls = false, .content = {}}));
  const AnswerStart start{false, "call:get_weather{"};
  int answers = 0;
  for (int i = 0; i < 100; ++i) {
    const auto events = random_answer({masks, tokenizer(), ThoughtFirst::no,
                                       "\xF8"
                                       "call:get_weather{"},
                                      start, random);
    if (!events) continue;
    ++answers;
    ASSERT_EQ(events->size(), 1U);
    ASSERT_TRUE(std::holds_alternative<ToolCall>(events->front()));
    expect_valid(std::get<ToolCall>(events->front()));
  }
  EXPECT_GT(answers, 50);
}

TEST(CallGrammar, ContentHasItsFormatOrThereAreCalls) {
  std::mt19937 random(3);
  const auto schema =
      OrderedJson::parse(R"({"type":"object","properties":{"x":{"type":"integer"}},"required":["x"]})");
  CallAnswer answer;
  answer.content = json_schema_grammar(schema);
  const auto masks = masks_of(call_grammar(tools(), answer));
  int contents = 0;
  int calls = 0;
  for (int i = 0; i < 300; ++i) {
    const auto events = random_answer({masks, tokenizer(), ThoughtFirst::no}, {}, random);
    if (!events) continue;
    std::string content;
    for (const auto& event : *events) {
      if (const auto* delta = std::get_if<ContentDelta>(&event)) content += delta->text;
      if (const auto* call = std::get_if<ToolCall>(&event)) {
        expect_valid(*call);
        ++calls;
      }
    }
    if (content.empty()) continue;
    EXPECT_TRUE(accepts(schema, content)) << content;
    ++contents;
  }
  EXPECT_GT(contents, 20);
  EXPECT_GT(calls, 20);
}

TEST(CallGrammar, WithoutAFormatAnyTextMayComeBeforeCalls) {
  std::mt19937 random(4);
  const auto masks = masks_of(call_grammar(tools(), {}));
  int calls = 0;
  for (int i = 0; i < 100; ++i) {
    const auto begun = "Let me see.\n\"{" + std::string(kCallBeginByte) + "call:";
    const auto events =
        random_answer({masks, tokenizer(), ThoughtFirst::no, begun}, {false, "call:"}, random);
    if (!events) continue;
    for (const auto& event : *events) {
      ASSERT_TRUE(std::holds_alternative<ToolCall>(event));
      expect_valid(std::get<ToolCall>(event));
      ++calls;
    }
  }
  EXPECT_GT(calls, 50);
  GrammarMatcher no_call(masks, "Just this.");
  EXPECT_TRUE(no_call.may_end());
}

TEST(CallGrammar, KeysComeInAlphabeticalOrder) {
  GrammarMatcher matcher(
      masks_of(call_grammar({tools().data(), 1}, {.must_call = true, .several_calls = false, .content = {}})),
      "\xF8"
      "call:get_weather{");
  EXPECT_FALSE(matcher.accept(*tokenizer().find("u")));
  EXPECT_TRUE(matcher.accept(*tokenizer().find("c")));
}

TEST(CallGrammar, AStrictSchemaThatIsNotUnderstoodIsRefused) {
  const char* const schema = R"({"type":"object","properties":{"x":{"type":"string","pattern":"a+"}}})";
  const std::vector<CallableTool> strict = {tool("f", schema)};
  try {
    call_grammar(strict, {});
    FAIL();
  } catch (const GrammarError& error) {
    EXPECT_THAT(error.what(), HasSubstr("pattern"));
  }
}

TEST(CallGrammar, AnotherTakesAnyArgumentsThen) {
  const char* const schema = R"({"type":"object","properties":{"x":{"type":"string","pattern":"a+"}}})";
  const std::vector<CallableTool> lenient = {tool("f", schema, false)};
  GrammarMatcher matcher(
      masks_of(call_grammar(lenient, {.must_call = true, .several_calls = false, .content = {}})),
      "\xF8"
      "call:f{");
  for (const auto token : tokenizer().encode("zz:[1,{}]}", SpecialText::plain))
    EXPECT_TRUE(matcher.accept(token));
  EXPECT_TRUE(matcher.accept(*tokenizer().find("<tool_call|>")));
  EXPECT_TRUE(matcher.may_end());
}

TEST(CallGrammar, ByteTokensNeverPassForMarkup) {
  const auto masks = masks_of(call_grammar(tools(), {}));
  GrammarMatcher matcher(masks);
  for (const char* name : {"<0xF8>", "<0xF9>", "<0xFA>"}) {
    const auto token = tokenizer().find(name);
    ASSERT_TRUE(token) << name;
    EXPECT_FALSE(matcher.accept(*token)) << name;
  }
}

}  // namespace
}  // namespace tandem::model
