#include "ipc/openai_response_tools.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ipc/service.h"

namespace tandem::ipc {
namespace {

using ::testing::HasSubstr;

ResponseTools response_tools(const std::string& text) {
  const Json json = Json::parse(text);
  return read_response_tools(&json);
}

std::string tools_refusal(const std::string& text) {
  try {
    response_tools(text);
  } catch (const RequestError& error) {
    return error.what();
  }
  return "taken";
}

TEST(ResponseTools, ReadsFunctionsAndTheirChoice) {
  const auto read = response_tools(R"([{"type": "function", "name": "get", "description": null,
      "parameters": {"type": "object"}, "strict": true, "defer_loading": true, "output_schema": {},
      "allowed_callers": ["programmatic", "direct"]}])")
                        .functions;
  ASSERT_EQ(read.size(), 1u);
  EXPECT_TRUE(read[0].strict);
  const Json named = Json::parse(R"({"type": "function", "name": "get"})");
  EXPECT_EQ(read_response_tool_choice(&named, read).mode, ToolChoice::Mode::named);
  const Json unknown = Json::parse(R"({"type": "function", "name": "put"})");
  EXPECT_THROW(read_response_tool_choice(&unknown, read), RequestError);
  EXPECT_TRUE(read_response_tools(nullptr).functions.empty());
}

TEST(ResponseTools, ReadsNamespaces) {
  const auto tools = response_tools(R"([
      {"type": "namespace", "name": "mcp__files__", "description": "files", "tools": [
          {"type": "function", "name": "read", "parameters": {"type": "object"}}]},
      {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "read"}]},
      {"type": "function", "name": "read"}])");
  ASSERT_EQ(tools.functions.size(), 3u);
  EXPECT_EQ(tools.functions[0].name, "mcp__files__read");
  EXPECT_EQ(tools.functions[1].name, "crm__read");
  EXPECT_EQ(tools.functions[2].name, "read");
  ASSERT_EQ(tools.spaced.size(), 2u);
  EXPECT_EQ(tools.spaced.at("crm__read").space, "crm");
  EXPECT_EQ(tools.spaced.at("crm__read").name, "read");
  EXPECT_EQ(tools.shown.size(), 3u);
  const Json named = Json::parse(R"({"type": "function", "namespace": "crm", "name": "read"})");
  EXPECT_EQ(read_response_tool_choice(&named, tools.functions).name, "crm__read");
}

TEST(ResponseTools, WhatOnlyTheirServersDoIsNotShown) {
  const auto tools = response_tools(R"([{"type": "web_search", "external_web_access": true},
      {"type": "function", "name": "read"}, {"type": "image_generation"}])");
  ASSERT_EQ(tools.functions.size(), 1u);
  EXPECT_EQ(tools.shown.size(), 1u);
  const Json required = "required";
  EXPECT_THROW(read_response_tool_choice(&required, response_tools(R"([{"type": "web_search"}])").functions),
               RequestError);
}

TEST(ResponseTools, RefusesByPlace) {
  EXPECT_THAT(tools_refusal(R"([{"type": "custom", "name": "patch"}])"),
              HasSubstr("'tools[0].type' is 'custom'"));
  EXPECT_THAT(tools_refusal(R"([{"type": "namespace", "name": "a", "tools": [{"type": "custom"}]}])"),
              HasSubstr("'tools[0].tools[0].type' is 'custom'"));
  EXPECT_THAT(tools_refusal(R"([{"type": "namespace", "name": "a"}])"), HasSubstr("tools[0].tools"));
  EXPECT_THAT(tools_refusal(R"([{"type": "namespace", "name": "a b", "tools": []}])"),
              HasSubstr("tools[0].name"));
  EXPECT_THAT(tools_refusal(R"([{"type": "function", "name": "a", "allowed_callers": ["programmatic"]}])"),
              HasSubstr("tools[0].allowed_callers"));
  EXPECT_THAT(
      tools_refusal(R"([{"type": "namespace", "name": "a", "tools": [{"type": "function", "name": "b"}]},
                                {"type": "function", "name": "a__b"}])"),
      HasSubstr("'a__b' twice"));
  EXPECT_THAT(
      tools_refusal(R"([{"type": "namespace", "name": ")" + std::string(100, 'a') +
                    R"(", "tools": [{"type": "function", "name": ")" + std::string(100, 'b') + R"("}]}])"),
      HasSubstr("202 characters"));
}

}  // namespace
}  // namespace tandem::ipc
