#include "ipc/ollama_generation.h"

#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::FakeService;
using testing::Harness;
using ::testing::HasSubstr;
using testing::RawReply;

std::vector<Json> lines(const RawReply& reply) {
  std::vector<Json> objects;
  std::istringstream body(reply.body);
  for (std::string line; std::getline(body, line);) objects.push_back(Json::parse(line));
  return objects;
}

TEST(OllamaGeneration, StreamsLines) {
  Harness harness;
  RawReply reply = harness.post("/api/chat", R"({"model": "mine", "options": {"num_predict": 5},
      "messages": [{"role": "user", "content": "hello"}]})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.headers["content-type"], "application/x-ndjson");
  const auto objects = lines(reply);
  ASSERT_EQ(objects.size(), 6u) << "five words and the end";
  std::string text;
  for (std::size_t i = 0; i < objects.size(); ++i) {
    EXPECT_EQ(objects[i]["model"], "mine");
    EXPECT_EQ(objects[i]["done"], i == 5);
    text += objects[i]["message"]["content"].get<std::string>();
  }
  EXPECT_EQ(text, FakeService::answer(5));
  EXPECT_EQ(objects.back()["done_reason"], "length");
  EXPECT_EQ(objects.back()["eval_count"], 5);
}

TEST(OllamaGeneration, AnswersWhole) {
  Harness harness;
  const Json body = harness
                        .post("/api/generate", R"({"model": "m", "prompt": "hello", "system": "be brief",
                              "stream": false, "options": {"num_predict": 3}})")
                        .json();
  EXPECT_EQ(body["response"], FakeService::answer(3));
  EXPECT_EQ(body["done"], true);
  const auto chats = harness.service.chats();
  ASSERT_EQ(chats.size(), 1u);
  ASSERT_EQ(chats[0].messages.size(), 2u);
  EXPECT_EQ(chats[0].messages[0].role, ChatRole::system);
  EXPECT_EQ(std::get<std::string>(chats[0].messages[1].content), "hello");
}

TEST(OllamaGeneration, ARawPromptIsNoChat) {
  Harness harness;
  const auto reply = harness.post("/api/generate", R"({"model": "m", "prompt": "a<eos>", "raw": true,
      "stream": false, "options": {"num_predict": 1}})");
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(harness.service.chats().empty());
  EXPECT_EQ(harness.service.submitted().at(0).prompt, (std::vector<std::int32_t>{2, 256 + 'a', 1}));
}

TEST(OllamaGeneration, ThoughtsAndCallsHaveTheirPlaces) {
  Harness harness;
  Json body = harness
                  .post("/api/chat", R"({"model": "m", "stream": false, "think": true,
                        "options": {"num_predict": 6}, "messages": [{"role": "user", "content": "hello"}]})")
                  .json();
  EXPECT_EQ(body["message"]["thinking"], FakeService::thought());
  EXPECT_FALSE(body["message"]["content"].get<std::string>().empty());
}

TEST(OllamaGeneration, NoPromptOnlyLoads) {
  Harness harness;
  const Json chat = harness.post("/api/chat", R"({"model": "m"})").json();
  EXPECT_EQ(chat["done_reason"], "load");
  const Json generated = harness.post("/api/generate", R"({"model": "m", "keep_alive": 0})").json();
  EXPECT_EQ(generated["done"], true);
  EXPECT_EQ(generated["response"], "");
  EXPECT_TRUE(harness.service.submitted().empty());
}

TEST(OllamaGeneration, ErrorsAreTexts) {
  Harness harness;
  const auto malformed = harness.post("/api/chat", "{");
  EXPECT_EQ(malformed.status, 400);
  EXPECT_THAT(malformed.json()["error"].get<std::string>(), HasSubstr("not valid JSON"));
  const auto unnamed = harness.post("/api/generate", R"({"prompt": "x"})");
  EXPECT_EQ(unnamed.status, 400);
  EXPECT_THAT(unnamed.json()["error"].get<std::string>(), HasSubstr("'model' is required"));
  harness.service.fail_with("the engine broke");
  const auto failed = harness.post("/api/generate", R"({"model": "m", "prompt": "x"})");
  EXPECT_EQ(lines(failed).back()["error"], "the engine broke");
}

}  // namespace
}  // namespace tandem::ipc
