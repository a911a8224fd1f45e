#include "ipc/json_fields.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/service.h"

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;

std::string parse_error(const std::string& text, std::size_t depth = 8) {
  try {
    parse_object(text, depth);
  } catch (const RequestError& error) {
    EXPECT_EQ(error.status(), 400u);
    EXPECT_EQ(error.type(), "invalid_request_error");
    return error.what();
  }
  return "no error";
}

TEST(ParseObject, RefusesWhatIsNoJsonObject) {
  const std::pair<std::string, std::string> cases[] = {
      {"", "body is empty"},
      {"{", "not valid JSON"},
      {"{}{}", "not valid JSON"},
      {"{'a':1}", "not valid JSON"},
      {"{\"a\":1,}", "not valid JSON"},
      {"{\"a\":NaN}", "not valid JSON"},
      {"{\"a\":1e999}", "not valid JSON"},
      {"{\"a\":\"\xff\"}", "not valid JSON"},
      {"{\"a\":\"\\ud800\"}", "not valid JSON"},
      {std::string("{\"a\":\0}", 7), "not valid JSON"},
      {"[]", "must be a JSON object"},
      {"null", "must be a JSON object"},
      {"\"text\"", "must be a JSON object"},
      {"{\"a\":1,\"a\":2}", "'a' is there twice"},
  };
  for (const auto& [text, message] : cases) EXPECT_THAT(parse_error(text), HasSubstr(message)) << text;
}

TEST(ParseObject, SaysWhereTheMistakeIs) {
  EXPECT_THAT(parse_error("{\n\"a\": x}"), HasSubstr("line 2, column 6"));
}

TEST(ParseObject, LimitsNesting) {
  EXPECT_EQ(parse_error("{\"a\":[[1]]}", 3), "no error");
  EXPECT_THAT(parse_error("{\"a\":[[[1]]]}", 3), HasSubstr("json_depth, 3"));
  EXPECT_THAT(parse_error("{\"a\":{\"b\":{\"c\":{}}}}", 3), HasSubstr("json_depth, 3"));
  EXPECT_THAT(parse_error("{\"a\":" + std::string(1'000'000, '['), 16), HasSubstr("json_depth, 16"));
}

TEST(ParseObject, LimitsTheMembersOfEveryObject) {
  const auto with_members = [](std::size_t count) {
    std::string text = "{\"a\":{\"b\":{},";
    for (std::size_t i = 1; i < count; ++i) text += "\"" + std::to_string(i) + "\":0,";
    text.back() = '}';
    return text + ",\"c\":1}";
  };
  EXPECT_EQ(parse_object(with_members(1024), 16)["a"].size(), 1024u);
  EXPECT_THAT(parse_error(with_members(1025), 16), HasSubstr("more than 1024 members"));
}

TEST(ParseObject, KeepsTheOrderOfMembers) {
  EXPECT_EQ(parse_object(R"({"z":1,"a":{"y":2,"b":3}})", 16).dump(), R"({"z":1,"a":{"y":2,"b":3}})");
}

TEST(ToText, ReplacesWhatIsNotUtf8) {
  EXPECT_EQ(to_text({{"a", "\xe7\x8b"}}), "{\"a\":\"\xef\xbf\xbd\"}");
  EXPECT_EQ(to_text({{"a", "狐"}}), "{\"a\":\"狐\"}");
}

class FieldsTest : public ::testing::Test {
 protected:
  /// The message of what `read` throws, which must be about `param`.
  template <typename Read>
  static std::string error(const Read& read, const std::string& param) {
    try {
      read();
    } catch (const RequestError& refused) {
      EXPECT_EQ(refused.status(), 400u);
      EXPECT_EQ(refused.param(), param);
      return refused.what();
    }
    return "no error";
  }

  const Json object_ =
      Json::parse(R"({"yes": true, "n": 7, "minus": -3, "x": 0.5, "s": "text", "nothing": null,
                                       "huge": 18446744073709551615, "list": [1]})");
  Fields fields_{object_, "in."};
};

TEST_F(FieldsTest, ReadsWhatIsThere) {
  EXPECT_EQ(fields_.boolean("yes"), true);
  EXPECT_EQ(fields_.integer("n", 0, 10), 7);
  EXPECT_EQ(fields_.integer("n", 7, 7), 7);
  EXPECT_EQ(fields_.integer("minus", INT64_MIN, INT64_MAX), -3);
  EXPECT_EQ(fields_.number("x", 0.0, 1.0), 0.5);
  EXPECT_EQ(fields_.number("n", 0.0, 10.0), 7.0);
  EXPECT_EQ(fields_.text("s"), "text");
  ASSERT_NE(fields_.value("list"), nullptr);
  EXPECT_EQ(fields_.value("list")->size(), 1u);
}

TEST_F(FieldsTest, AbsentAndNullAreTheSame) {
  for (const char* name : {"nothing", "absent"}) {
    EXPECT_EQ(fields_.boolean(name), std::nullopt);
    EXPECT_EQ(fields_.integer(name, 0, 1), std::nullopt);
    EXPECT_EQ(fields_.number(name, 0.0, 1.0), std::nullopt);
    EXPECT_EQ(fields_.text(name), std::nullopt);
    EXPECT_EQ(fields_.value(name), nullptr);
  }
}

TEST_F(FieldsTest, RefusesOtherTypes) {
  EXPECT_EQ(error([&] { fields_.boolean("n"); }, "in.n"), "'in.n' must be true or false");
  EXPECT_EQ(error([&] { fields_.integer("x", 0, 1); }, "in.x"), "'in.x' must be an integer");
  EXPECT_EQ(error([&] { fields_.integer("yes", 0, 1); }, "in.yes"), "'in.yes' must be an integer");
  EXPECT_EQ(error([&] { fields_.number("s", 0, 1); }, "in.s"), "'in.s' must be a number");
  EXPECT_EQ(error([&] { fields_.text("n"); }, "in.n"), "'in.n' must be a string");
}

TEST_F(FieldsTest, RefusesValuesOutOfRange) {
  EXPECT_EQ(error([&] { fields_.integer("n", 8, 9); }, "in.n"), "'in.n' must be between 8 and 9, got 7");
  EXPECT_EQ(error([&] { fields_.integer("n", 0, 6); }, "in.n"), "'in.n' must be between 0 and 6, got 7");
  EXPECT_THAT(error([&] { fields_.integer("huge", -1, INT64_MAX); }, "in.huge"),
              HasSubstr("got 18446744073709551615"));
  EXPECT_EQ(error([&] { fields_.number("x", 1.0, 2.0); }, "in.x"),
            "'in.x' must be between 1.0 and 2.0, got 0.5");
}

TEST_F(FieldsTest, NamesTheMemberNobodyAskedFor) {
  // Not "nothing", which is null: the same as not there.
  for (const char* name : {"yes", "n", "minus", "x", "s", "huge"}) fields_.value(name);
  EXPECT_THAT(error([&] { fields_.refuse_others(); }, "in.list"), HasSubstr("'in.list'"));
  fields_.value("list");
  EXPECT_NO_THROW(fields_.refuse_others());
}

TEST(Fields, WantsAnObject) {
  const Json list = Json::array();
  EXPECT_THROW(Fields(list, "stream_options."), RequestError);
}

}  // namespace
}  // namespace tandem::ipc
