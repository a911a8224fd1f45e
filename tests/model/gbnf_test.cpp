#include "model/gbnf.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::model {
namespace {

using testing::HasSubstr;

std::string error_of(const std::string& text) {
  try {
    const Grammar grammar(read_gbnf(text), "root");
    return "";
  } catch (const GrammarError& error) {
    return error.what();
  }
}

TEST(Gbnf, ReadsRulesAndComments) {
  const auto rules = read_gbnf(
      "# a comment\n"
      "root ::= one-1 |  # the rest follows\n"
      "  two_2 (\n    \"x\"\n | )\r\n"
      "\n one-1 ::= \"\\n\\x41\\u00e9\\U0001F600\\\"\"\n"
      "two_2::=[a-z\\]\\-]{2}");
  ASSERT_EQ(rules.size(), 3U);
  EXPECT_EQ(rules[0].name, "root");
  EXPECT_EQ(rules[0].body.parts.size(), 2U);
  EXPECT_EQ(rules[1].body.text, "\nA\u00e9\U0001F600\"");
  EXPECT_EQ(rules[2].body.min, 2U);
  EXPECT_EQ(rules[2].body.max, 2U);
  EXPECT_EQ(rules[2].body.parts[0].ranges.size(), 3U);
}

TEST(Gbnf, ReadsCounts) {
  const auto counts = [](const std::string& suffix) {
    const auto body = read_gbnf("root ::= \"a\"" + suffix)[0].body;
    return std::pair(body.min, body.max);
  };
  constexpr auto kUnlimited = Expression::kUnlimited;
  EXPECT_EQ(counts("*"), std::pair(0U, kUnlimited));
  EXPECT_EQ(counts("+"), std::pair(1U, kUnlimited));
  EXPECT_EQ(counts("?"), std::pair(0U, 1U));
  EXPECT_EQ(counts("{3}"), std::pair(3U, 3U));
  EXPECT_EQ(counts("{3,}"), std::pair(3U, kUnlimited));
  EXPECT_EQ(counts("{ 3 , 5 }"), std::pair(3U, 5U));
}

TEST(Gbnf, SaysWhereTheMistakeIs) {
  EXPECT_THAT(error_of("root ::= \"a\"\nx = \"b\""), HasSubstr("line 2, column 3"));
  EXPECT_THAT(error_of("root ::= \"a"), HasSubstr("line 1, column 12"));
  EXPECT_THAT(error_of("root ::= (\"a\""), HasSubstr("expected )"));
  EXPECT_THAT(error_of("root ::= [a"), HasSubstr("ends inside"));
  EXPECT_THAT(error_of("root ::= [z-a]"), HasSubstr("backwards"));
  EXPECT_THAT(error_of("root ::= \"\\q\""), HasSubstr("unknown escape"));
  EXPECT_THAT(error_of("root ::= \"\\u00e\""), HasSubstr("hexadecimal"));
  EXPECT_THAT(error_of("root ::= \"\\ud800\""), HasSubstr("not a character"));
  EXPECT_THAT(error_of("root ::= \"\xFF\""), HasSubstr("UTF-8"));
  EXPECT_THAT(error_of("root ::= \"a\"{5,2}"), HasSubstr("smaller count"));
  EXPECT_THAT(error_of("root ::= \"a\"{x}"), HasSubstr("expected a count"));
  EXPECT_THAT(error_of("root ::= \"a\"{99999999999}"), HasSubstr("limited"));
  EXPECT_THAT(error_of("root ::= <think>"), HasSubstr("tokens"));
  EXPECT_THAT(error_of("root ::= \"a\" )"), HasSubstr("end of the rule"));
  EXPECT_THAT(error_of("root ::= " + std::string(5000, '(')), HasSubstr("nested"));
  for (const char suffix : {'*', '+', '?'}) {
    EXPECT_THAT(error_of("root ::= \"a\"" + std::string(200'000, suffix)), HasSubstr("suffixes")) << suffix;
  }
}

TEST(Gbnf, RefusesGrammarsThatCannotWork) {
  EXPECT_THAT(error_of("a ::= \"a\""), HasSubstr("no rule \"root\""));
  EXPECT_THAT(error_of(""), HasSubstr("no rule \"root\""));
  EXPECT_THAT(error_of("root ::= a"), HasSubstr("\"a\", which is not defined"));
  EXPECT_THAT(error_of("root ::= \"a\"\nroot ::= \"b\""), HasSubstr("defined twice"));
  EXPECT_THAT(error_of("root ::= \"a\" root"), HasSubstr("\"root\" never ends"));
  EXPECT_THAT(error_of("root ::= \"a\" | b\nb ::= \"x\" c\nc ::= [] "), HasSubstr("never ends"));
  EXPECT_THAT(error_of("root ::= root \"a\" | \"b\""), HasSubstr("begins with itself"));
  EXPECT_THAT(error_of("root ::= w a\na ::= w root | \"x\"\nw ::= \" \"*"), HasSubstr("begins with itself"));
  EXPECT_THAT(error_of("root ::= ((\"abc\"{1000}){1000}){1000}"), HasSubstr("nodes"));
  EXPECT_THAT(error_of("root ::= \"" + std::string(300'000, 'a') + "\""), HasSubstr("limit"));
  EXPECT_EQ(error_of("root ::= \"a\" root | \"b\""), "");
}

}  // namespace
}  // namespace tandem::model
