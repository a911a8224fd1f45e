#include "model/python_text.h"

#include <gtest/gtest.h>

#include "model/ordered_json.h"

namespace tandem::model {
namespace {

using Json = OrderedJson;

std::string str(const char* json) {
  return python_str(Json::parse(json));
}

// What is expected here is what Python 3.11 answers.

TEST(PythonText, WritesNumbers) {
  EXPECT_EQ(str("0"), "0");
  EXPECT_EQ(str("-7"), "-7");
  EXPECT_EQ(str("18446744073709551615"), "18446744073709551615");
  EXPECT_EQ(str("1.0"), "1.0");
  EXPECT_EQ(str("-0.0"), "-0.0");
  EXPECT_EQ(str("0.1"), "0.1");
  EXPECT_EQ(str("1e15"), "1000000000000000.0");
  EXPECT_EQ(str("1e16"), "1e+16");
  EXPECT_EQ(str("9999999999999998.0"), "9999999999999998.0");
  EXPECT_EQ(str("12345678901234567e3"), "1.2345678901234567e+19");
  EXPECT_EQ(str("1e-4"), "0.0001");
  EXPECT_EQ(str("1e-5"), "1e-05");
  EXPECT_EQ(str("1.5e-10"), "1.5e-10");
  EXPECT_EQ(str("5e-324"), "5e-324");
  EXPECT_EQ(str("1e100"), "1e+100");
}

TEST(PythonText, WritesEverythingElse) {
  EXPECT_EQ(str("null"), "None");
  EXPECT_EQ(str("true"), "True");
  EXPECT_EQ(str("false"), "False");
  EXPECT_EQ(str(R"("it's")"), "it's");
  EXPECT_EQ(str(R"(["a", 1, null, [true], {"k": "v", "n": 2.5}])"),
            "['a', 1, None, [True], {'k': 'v', 'n': 2.5}]");
  EXPECT_EQ(str("[]"), "[]");
  EXPECT_EQ(str("{}"), "{}");
}

TEST(PythonText, QuotesTextsInLists) {
  EXPECT_EQ(str(R"(["it's"])"), R"(["it's"])");
  EXPECT_EQ(str(R"(["it's \"x\""])"), R"(['it\'s "x"'])");
  EXPECT_EQ(str(R"(["\\ \n \r \t \u0001 \u007f é \u00a0 \u2028"])"),
            R"(['\\ \n \r \t \x01 \x7f é \xa0 \u2028'])");
  EXPECT_EQ(str(R"(["\u00ad\u200d\u202e\ufeff \ue000 \udb40\udc41 \u00ae"])"),
            R"(['\xad\u200d\u202e\ufeff \ue000 \U000e0041 ®'])");
}

TEST(PythonText, KnowsWhatCountsAsTrue) {
  for (const auto* no : {"null", "false", "0", "0.0", "-0.0", "\"\"", "[]", "{}"}) {
    EXPECT_FALSE(python_true(Json::parse(no))) << no;
  }
  for (const auto* yes : {"true", "1", "-0.5", "\" \"", "[null]", R"({"":0})"}) {
    EXPECT_TRUE(python_true(Json::parse(yes))) << yes;
  }
}

TEST(PythonText, StripsSpacesOfAllUnicode) {
  EXPECT_EQ(python_strip(
                " \t\n\v\f\r\x1c\x1d\x1e\x1f\u0085\u00a0\u1680\u2000\u200a\u2028\u2029\u202f\u205f\u3000a b"
                "\u3000\u00a0 "),
            "a b");
  EXPECT_EQ(python_strip("\u200b a \ufeff"), "\u200b a \ufeff");
  EXPECT_EQ(python_strip(" \u3000 "), "");
  EXPECT_EQ(python_strip("\xff \xa0"), "\xff \xa0");  // broken bytes are no spaces
}

TEST(PythonText, ChangesCase) {
  EXPECT_EQ(python_upper("string éя1"), "STRING ÉЯ1");
  EXPECT_EQ(python_lower("STRING ÉЯ1"), "string éя1");
  EXPECT_EQ(python_lower("\xff"
                         "A"),
            "\xff"
            "a");
}

TEST(PythonText, SortsMembersByLowerCase) {
  const auto map = Json::parse(R"({"b":1,"A":2,"a":3,"B":4,"_":5,"É":6,"é":7,"10":8,"9":9})");
  std::string keys;
  for (const auto& [key, value] : sorted_members(map)) keys += std::string(key) + " ";
  EXPECT_EQ(keys, "10 9 _ A a b B É é ");
}

}  // namespace
}  // namespace tandem::model
