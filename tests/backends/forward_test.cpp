// The CPU stages against transformers: tests/reference/README.md says what the fixtures are.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/backends/cpu_model.h"
#include "tests/support/fixture.h"

namespace tandem::cpu {
namespace {

using test_support::Chunk;
using test_support::CpuModel;
using test_support::CpuModelOptions;
using test_support::difference_of_range;
using test_support::Fixture;
using test_support::reference_path;

constexpr double kTolerance = 2e-5;          // of the logit range
constexpr double kOneLayerTolerance = 1e-5;  // of the range of an array

const char* const kModels[] = {"gemma3_7l", "gemma3_62l",        "gemma3_4l",
                               "gemma4_8l", "gemma4_7l_sliding", "gemma4_4l"};
const char* const kOneLayerModels[] = {"gemma3_1l_sliding", "gemma3_1l_global", "gemma4_1l_sliding",
                                       "gemma4_1l_global"};

/// STEM_NUMBER, as the fixtures name their arrays.
std::string numbered(std::string stem, std::int32_t number) {
  stem += '_';
  stem += std::to_string(number);
  return stem;
}

class Forward : public testing::TestWithParam<const char*> {
 protected:
  const std::string name_ = GetParam();
  const Fixture fixture_ = Fixture::load(reference_path(name_ + ".fixture"));

  std::span<const std::int32_t> tokens(std::int32_t length) const {
    return fixture_.i32(numbered("tokens", length));
  }
  std::span<const float> logits(std::int32_t length) const {
    return fixture_.f32(numbered("logits", length));
  }
};

TEST_P(Forward, PromptAtOnce) {
  for (const std::int32_t length : fixture_.i32("lengths")) {
    CpuModelOptions options;
    options.max_seq_len = static_cast<std::uint32_t>(length);
    CpuModel model(name_ + ".gguf", options);
    EXPECT_LE(difference_of_range(model.run(tokens(length), 64), logits(length)), kTolerance) << length;
  }
}

TEST_P(Forward, TokenByTokenAndInChunks) {
  for (const std::int32_t length : fixture_.i32("lengths")) {
    for (std::size_t chunk = 1; chunk <= 9; ++chunk) {
      CpuModel model(name_ + ".gguf", {});
      EXPECT_LE(difference_of_range(model.run(tokens(length), chunk), logits(length)), kTolerance)
          << length << " tokens in chunks of " << chunk;
    }
  }
}

TEST_P(Forward, KeysAndValuesInSeparateVectors) {
  const std::int32_t length = fixture_.i32("lengths").back();
  for (const std::size_t chunk : {1, 7, 64}) {
    CpuModelOptions options;
    options.vector_layout = false;
    CpuModel model(name_ + ".gguf", options);
    EXPECT_LE(difference_of_range(model.run(tokens(length), chunk), logits(length)), kTolerance) << chunk;
  }
}

TEST_P(Forward, ResidualStreamAtTheEnd) {
  const std::int32_t length = fixture_.i32("lengths").back();
  CpuModel model(name_ + ".gguf", {});
  model.run(tokens(length), 64);
  const std::string array = numbered("residual", length);
  const std::vector<std::size_t>& dims = fixture_.dims(array);
  const auto last = fixture_.f32(array).last(dims[1] * dims[2]);
  EXPECT_LE(difference_of_range(model.residual(), last), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Models, Forward, testing::ValuesIn(kModels),
                         [](const auto& test) { return std::string(test.param); });

class FarPositions : public testing::TestWithParam<const char*> {};

TEST_P(FarPositions, MatchDoublePrecision) {
  const std::string name = GetParam();
  const Fixture fixture = Fixture::load(reference_path(name + ".fixture"));
  for (const std::int32_t last : fixture.i32("last_positions")) {
    const auto positions = fixture.i32(numbered("positions", last));
    CpuModelOptions options;
    options.max_seq_len = static_cast<std::uint32_t>(last) + 1;
    options.pool_pages = 8;
    const auto tokens = fixture.i32(numbered("tokens", last));
    const auto first = static_cast<std::uint64_t>(positions.front());
    for (const std::size_t chunk_tok :
         {tokens.size(), std::size_t{1}}) {  // keys from staging, from the cache
      CpuModel model(name + ".gguf", options);
      std::vector<float> logits;
      std::vector<float> hidden;
      for (std::size_t at = 0; at < tokens.size(); at += chunk_tok) {
        const Chunk chunk{0, first + at, tokens.subspan(at, chunk_tok), first};
        const std::vector<float> new_logits = model.step({&chunk, 1});
        logits.insert(logits.end(), new_logits.begin(), new_logits.end());
        hidden.insert(hidden.end(), model.residual().begin(), model.residual().end());
      }
      EXPECT_LE(difference_of_range(logits, fixture.f32(numbered("logits", last))), kOneLayerTolerance)
          << last << " in chunks of " << chunk_tok;
      EXPECT_LE(difference_of_range(hidden, fixture.f32(numbered("hidden", last))), kOneLayerTolerance)
          << last << " in chunks of " << chunk_tok;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, FarPositions, testing::ValuesIn(kOneLayerModels),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace tandem::cpu
