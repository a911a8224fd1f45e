#include "ipc/openai_models.h"

#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

const char* const kCard = R"({"id": "fake/words-1B", "object": "model", "created": 1700000000,
  "owned_by": "tandem", "max_model_len": 4096, "vocab_size": 512, "chat": "gemma4", "tools": true,
  "thinking": true, "warnings": [], "noise": true, "type": "model", "display_name": "fake/words-1B",
  "created_at": "2023-11-14T22:13:20.000000Z"})";

TEST(OpenaiModels, ListsTheLoadedOne) {
  testing::Harness harness;
  const testing::RawReply reply = harness.get("/v1/models");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.json()["object"], "list");
  EXPECT_EQ(reply.json()["data"], Json::array({Json::parse(kCard)}));
  EXPECT_EQ(reply.json()["has_more"], false);
  EXPECT_EQ(reply.json()["last_id"], "fake/words-1B");
}

TEST(OpenaiModels, FindsItByItsName) {
  testing::Harness harness;
  EXPECT_EQ(harness.get("/v1/models/fake/words-1B").json(), Json::parse(kCard));
  EXPECT_EQ(harness.get("/v1/models/fake%2Fwords-1B").json(), Json::parse(kCard));
}

TEST(OpenaiModels, KnowsNoOther) {
  testing::Harness harness;
  const testing::RawReply reply = harness.get("/v1/models/gpt-4");
  EXPECT_EQ(reply.status, 404);
  EXPECT_EQ(reply.json()["error"]["code"], "model_not_found");
  EXPECT_EQ(reply.error_message(), "model 'gpt-4' is not loaded; 'fake/words-1B' is");
}

}  // namespace
}  // namespace tandem::ipc
