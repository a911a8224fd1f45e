#include "ipc/ollama_models.h"

#include <gtest/gtest.h>

#include "tests/ipc/harness.h"

namespace tandem::ipc {
namespace {

using testing::Harness;

class OllamaModels : public ::testing::Test {
 protected:
  OllamaModels() {
    ModelCard card = harness.service.model();
    card.id = "gemma-4-12b";
    card.family = "gemma4";
    card.parameters = 11'765'000'000;
    card.tensor_bytes = 6'960'054'464;
    card.main_type = "Q4_0";
    card.fingerprint = std::string(64, 'a');
    harness.service.set_model(card);
  }
  Harness harness;
};

TEST_F(OllamaModels, ListsTheOneThatIsLoaded) {
  const Json model = harness.get("/api/tags").json()["models"][0];
  EXPECT_EQ(model["name"], "gemma-4-12b");
  EXPECT_EQ(model["size"], 6'960'054'464);
  EXPECT_EQ(model["digest"], std::string(64, 'a'));
  EXPECT_EQ(model["modified_at"], "2023-11-14T22:13:20.000000Z");
  EXPECT_EQ(model["details"]["parameter_size"], "11.8B");
  EXPECT_EQ(model["details"]["quantization_level"], "Q4_0");
}

TEST_F(OllamaModels, SizesAreRounded) {
  for (const auto& [parameters, text] : {std::pair<std::uint64_t, const char*>{7'130'000, "7.1M"},
                                         {999'960'000, "1000.0M"},
                                         {1'049'999'999, "1.0B"},
                                         {27'009'000'000, "27.0B"}}) {
    ModelCard card = harness.service.model();
    card.parameters = parameters;
    harness.service.set_model(card);
    EXPECT_EQ(harness.get("/api/tags").json()["models"][0]["details"]["parameter_size"], text);
  }
}

TEST_F(OllamaModels, SaysWhatRunsAndWhere) {
  const Json model = harness.get("/api/ps").json()["models"][0];
  EXPECT_EQ(model["size_vram"], 3);
  EXPECT_EQ(model["size"], 8) << "of both devices";
  EXPECT_EQ(model["context_length"], 4096);
}

TEST_F(OllamaModels, ShowsCapabilities) {
  const Json shown = harness.post("/api/show", R"({"model": "any"})").json();
  EXPECT_EQ(shown["capabilities"], Json::parse(R"(["completion", "tools", "thinking"])"));
  EXPECT_EQ(shown["model_info"]["gemma4.context_length"], 4096);
  EXPECT_EQ(shown["model_info"]["general.parameter_count"], 11'765'000'000);
  EXPECT_EQ(harness.post("/api/show", "{}").status, 400);
}

/// Editors ask for 0.6.4 and more.
TEST_F(OllamaModels, SaysWhichVersionsApiItIs) {
  const Json version = harness.get("/api/version").json();
  EXPECT_EQ(version["version"], "0.12.11");
  EXPECT_EQ(version["tandem"], "fake");
}

}  // namespace
}  // namespace tandem::ipc
