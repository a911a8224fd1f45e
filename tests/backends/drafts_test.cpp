// Rows of drafts wait outside the cache until they are accepted: the same bits as without them.

#include <random>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "tests/backends/drafted.h"

namespace tandem::test_support {
namespace {

constexpr std::uint32_t kDraftRows = 6;

CpuModelOptions options_for(device::KvType type) {
  CpuModelOptions options;
  options.kv_type = type;
  options.max_seq_len = 64;
  options.sequences = 2;
  options.draft_rows = kDraftRows;
  options.micro_batch = 80;
  return options;
}

std::vector<std::int32_t> random_tokens(std::size_t n, std::uint32_t vocab, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens(n);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random() % vocab);
  return tokens;
}

class Drafts : public testing::TestWithParam<const char*> {};

TEST_P(Drafts, OfAnyPrefixThatIsAcceptedGiveTheBitsOfDecodingWithoutThem) {
  for (const auto type : {device::KvType::f32, device::KvType::f16}) {
    CpuModel plain(GetParam(), options_for(type));
    const auto vocab = plain.hyper().vocab;
    const auto tokens = random_tokens(64, vocab, 1);  // far past the window
    for (const std::size_t prompt_tok : {1U, 11U, 30U}) {
      CpuModel expecting(GetParam(), options_for(type));
      const auto expected = undrafted(expecting, tokens, prompt_tok);
      for (std::uint32_t seed = 2; seed < 5; ++seed) {
        CpuModel model(GetParam(), options_for(type));
        for (const auto& logits : Drafted(tokens, prompt_tok, kDraftRows, vocab, seed).run(model)) {
          ASSERT_EQ(logits, expected) << "prompt " << prompt_tok << ", seed " << seed;
        }
      }
    }
  }
}

TEST_P(Drafts, ThatAreAllWrongLeaveNoTrace) {
  const auto options = options_for(device::KvType::f16);
  CpuModel plain(GetParam(), options), model(GetParam(), options);
  const auto tokens = random_tokens(40, 50, 6), wrong = random_tokens(kDraftRows, 50, 7);
  const std::span<const std::int32_t> all(tokens);
  const auto expected = undrafted(plain, all, 20);
  const Chunk prompt{0, 0, all.first(20)};
  model.step({&prompt, 1});
  std::vector<float> logits(expected.begin(), expected.begin() + 20 * model.hyper().vocab);
  for (std::size_t at = 20; at < all.size(); ++at) {
    std::vector<std::int32_t> rows{all[at]};
    rows.insert(rows.end(), wrong.begin(), wrong.end());
    const Chunk chunk{0, at, rows, 0, kDraftRows, 0};
    const auto some = model.step({&chunk, 1});
    logits.insert(logits.end(), some.begin(), some.begin() + model.hyper().vocab);
  }
  EXPECT_EQ(logits, expected);
}

TEST(DraftMemory, IsThereIfDraftsAre) {
  cpu::Team team(1);
  device::Unit unit;
  unit.attention.head_dim = 64;
  unit.attention.heads = unit.attention.kv_heads = 1;
  unit.attention.kv = {.row_bytes = 512, .type = device::KvType::f32, .cells = 4, .draft_rows = 2};
  try {
    cpu::make_stage({unit}, {64, 1e-6f, 4}, {}, team);
    FAIL() << "it was taken";
  } catch (const std::invalid_argument& error) {
    EXPECT_NE(std::string(error.what()).find("drafts without memory"), std::string::npos) << error.what();
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, Drafts, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::test_support
