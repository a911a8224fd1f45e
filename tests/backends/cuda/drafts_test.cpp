// Rows of drafts wait outside the cache on the device too: the bits of decoding there without them.

#include <gtest/gtest.h>

#include "tests/backends/cuda/placed_model.h"
#include "tests/backends/drafted.h"

namespace tandem::cuda_test {
namespace {

using test_support::CpuModelOptions;
using test_support::Drafted;

constexpr std::uint32_t kDraftRows = 3;  // two sequences have eight rows at most

CpuModelOptions options_for(device::KvType type) {
  CpuModelOptions options;
  options.kv_type = type;
  options.max_seq_len = 44;
  options.sequences = 2;
  options.draft_rows = kDraftRows;
  options.micro_batch = 24;
  return options;
}

std::vector<std::int32_t> some_tokens(std::size_t n) {
  std::vector<std::int32_t> tokens(n);
  for (std::size_t i = 0; i < n; ++i) tokens[i] = static_cast<std::int32_t>(3 + 11 * i % 47);
  return tokens;
}

class DraftsOnDevice : public testing::TestWithParam<const char*> {};

TEST_P(DraftsOnDevice, GiveTheBitsOfDecodingWithoutThem) {
  constexpr std::size_t kPromptTok = 7;
  const auto tokens = some_tokens(44);
  const bool takes_q8_0 = std::string(GetParam()) == "gemma3_4l.gguf";  // head_dim in multiples of 32
  for (const auto type : {device::KvType::f16, takes_q8_0 ? device::KvType::q8_0 : device::KvType::f32}) {
    const auto options = options_for(type);
    const auto vocab = test_support::CpuModel(GetParam(), options).hyper().vocab;
    for (const std::uint64_t graphs : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
      const Placement placement{~std::uint64_t{0}, true, graphs};
      PlacedModel plain(GetParam(), options, placement, {.seed = 1});
      PlacedModel model(GetParam(), options, placement, {.seed = 2});
      const auto expected = test_support::undrafted(plain, tokens, kPromptTok);
      for (const auto& logits : Drafted(tokens, kPromptTok, kDraftRows, vocab, 3).run(model)) {
        ASSERT_EQ(logits, expected);
      }
    }
  }
}

TEST_P(DraftsOnDevice, AndOnTheCpuGiveThemInMixedPlacements) {
  constexpr std::size_t kPromptTok = 7;
  const auto tokens = some_tokens(40);
  const auto options = options_for(device::KvType::f16);
  const auto vocab = test_support::CpuModel(GetParam(), options).hyper().vocab;
  const Placement placement{0b0110'0011, false};
  PlacedModel plain(GetParam(), options, placement, {.seed = 4});
  PlacedModel model(GetParam(), options, placement, {.seed = 5});
  const auto expected = test_support::undrafted(plain, tokens, kPromptTok);
  for (const auto& logits : Drafted(tokens, kPromptTok, kDraftRows, vocab, 6).run(model)) {
    ASSERT_EQ(logits, expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Fixtures, DraftsOnDevice, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
