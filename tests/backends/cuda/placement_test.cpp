// A model gives the same answer wherever its halves run: logits of every position, teacher-forced, against
// all units on the CPU.

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "backends/cuda/runtime.h"
#include "tests/backends/cuda/placed_model.h"

namespace tandem::cuda_test {
namespace {

using device::KvType;
using test_support::Chunk;
using test_support::CpuModel;
using test_support::CpuModelOptions;
using test_support::difference_of_range;

/// Of the range of the logits: what fp32 sums in another order make of it.
constexpr double kBound = 1e-4;

std::vector<std::int32_t> random_tokens(std::size_t n, std::uint32_t vocab, std::uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<std::int32_t> tokens(n);
  for (auto& token : tokens) token = static_cast<std::int32_t>(random() % vocab);
  return tokens;
}

CpuModelOptions options_for(KvType type, std::uint32_t sequences = 1) {
  CpuModelOptions options;
  options.kv_type = type;
  options.max_seq_len = 48;
  options.sequences = sequences;
  options.micro_batch = 24;
  return options;
}

/// Logits of `tokens` in chunks of 10, then one by one.
template <class Model>
std::vector<float> chunks_and_steps(Model& model, std::span<const std::int32_t> tokens) {
  std::vector<float> all;
  for (std::size_t at = 0; at < tokens.size();) {
    const std::size_t n = at < 30 ? std::min<std::size_t>(10, tokens.size() - at) : 1;
    const Chunk chunk{0, at, tokens.subspan(at, n)};
    const auto logits = model.step({&chunk, 1});
    all.insert(all.end(), logits.begin(), logits.end());
    at += n;
  }
  return all;
}

/// How far the CPU's logits get from `expected` if the embedding's scale is 1, 2, 3 or 4 units of its last
/// place larger, which fp32 caches make nothing of (below 1e-5 of the range).
double furthest_by_last_bits(const char* model, CpuModelOptions options, std::span<const std::int32_t> tokens,
                             std::span<const float> expected) {
  double furthest = 0;
  for (int units = 1; units <= 4; ++units) {
    options.mistake = [units](test_support::ModelViews& views) {
      for (int i = 0; i < units; ++i) views.embedding.scale = std::nextafter(views.embedding.scale, 1e9f);
    };
    CpuModel nudged(model, options);
    furthest = std::max(furthest, difference_of_range(chunks_and_steps(nudged, tokens), expected));
  }
  return furthest;
}

class AnyPlacement : public testing::TestWithParam<const char*> {};

TEST_P(AnyPlacement, OfHalvesGivesTheSameLogits) {
  const auto options = options_for(KvType::f32);
  CpuModel on_cpu(GetParam(), options);
  const auto tokens = random_tokens(36, on_cpu.hyper().vocab, 1);
  const auto expected = chunks_and_steps(on_cpu, tokens);
  std::mt19937 random(2);
  const std::uint64_t all = (std::uint64_t{1} << (2 * on_cpu.hyper().layers.size())) - 1;
  const Placement placements[] = {
      {all, true}, {0x55 & all, false}, {0xaa & all, true}, {random() & all, false}, {random() & all, true}};
  for (const auto& placement : placements) {
    PlacedModel placed(GetParam(), options, placement, {.seed = random()});
    EXPECT_LT(difference_of_range(chunks_and_steps(placed, tokens), expected), kBound)
        << "units " << std::hex << placement.units << " head " << placement.head;
  }
}

TEST_P(AnyPlacement, DiffersByWhatRoundingMakesOfLastBits) {
  CpuModel exact(GetParam(), options_for(KvType::f32));
  const auto tokens = random_tokens(36, exact.hyper().vocab, 3);
  const auto unrounded = chunks_and_steps(exact, tokens);
  EXPECT_LT(furthest_by_last_bits(GetParam(), options_for(KvType::f32), tokens, unrounded), kBound / 10);
  const bool takes_q8_0 = std::string(GetParam()) == "gemma3_4l.gguf";  // head_dim in multiples of 32
  for (const auto type : {KvType::f16, takes_q8_0 ? KvType::q8_0 : KvType::f16}) {
    const auto options = options_for(type);
    CpuModel on_cpu(GetParam(), options);
    PlacedModel placed(GetParam(), options, {~std::uint64_t{0}, true}, {.seed = 4});
    const auto expected = chunks_and_steps(on_cpu, tokens);
    const double difference = difference_of_range(chunks_and_steps(placed, tokens), expected);
    // Another order of sums can make K, V or q round to the neighbour, which moves logits no further than
    // rounding does,
    EXPECT_LT(difference, difference_of_range(expected, unrounded));
    // and about as far as last bits of the embedding's scale move those of the CPU alone: they are what
    // rounding makes of fp32 noise, wherever it comes from.
    EXPECT_LT(difference, 2 * furthest_by_last_bits(GetParam(), options, tokens, expected));
  }
}

/// Prompts of all sequences, each alone in chunks of nine rows and more, which no decode kernel takes.
template <class Model>
void prefill(Model& model, std::span<const std::vector<std::int32_t>> sequences, std::size_t prompt_tok) {
  for (std::uint32_t slot = 0; slot < sequences.size(); ++slot) {
    const Chunk prompt{slot, 0, std::span(sequences[slot]).first(prompt_tok)};
    model.step({&prompt, 1});
  }
}

/// The rows of `chunks`' logits that are slot 0's.
std::vector<float> first_slots(const std::vector<float>& logits, std::span<const Chunk> chunks,
                               std::size_t vocab) {
  std::size_t row = 0;
  for (const Chunk& chunk : chunks) {
    if (chunk.slot == 0) {
      const auto begin = logits.begin() + static_cast<std::ptrdiff_t>(row * vocab);
      return {begin, begin + static_cast<std::ptrdiff_t>(chunk.tokens.size() * vocab)};
    }
    row += chunk.tokens.size();
  }
  return {};
}

TEST_P(AnyPlacement, GivesASequenceTheSameBitsWhateverSharesTheBatch) {
  constexpr std::uint32_t kSequences = 8;
  constexpr std::size_t kPromptTok = 11, kRounds = 2;
  const auto options = options_for(KvType::f16, kSequences);
  std::vector<std::vector<std::int32_t>> sequences;
  for (std::uint32_t s = 0; s < kSequences; ++s) sequences.push_back(random_tokens(48, 50, 7 + s));
  for (const auto& placement : {Placement{~std::uint64_t{0}, true}, Placement{0b0110'1101, true}}) {
    PlacedModel alone(GetParam(), options, placement, {.seed = 5});
    PlacedModel shared(GetParam(), options, placement, {.seed = 6});
    const std::size_t vocab = CpuModel(GetParam(), options).hyper().vocab;
    prefill(alone, std::span(sequences).first(1), kPromptTok);
    prefill(shared, sequences, kPromptTok);
    std::vector<std::size_t> at(kSequences, kPromptTok);
    const auto next = [&](std::uint32_t slot, std::size_t n) {
      at[slot] += n;
      return Chunk{slot, at[slot] - n, std::span(sequences[slot]).subspan(at[slot] - n, n)};
    };
    const auto expect_same = [&](const std::vector<Chunk>& chunks, const Chunk& mine) {
      const auto together = first_slots(shared.step(chunks), chunks, vocab);
      ASSERT_EQ(together, alone.step({&mine, 1}))
          << chunks.size() << " sequences, position " << mine.first_position;
    };
    // One to eight rows, in the first, second ... place among them.
    for (std::size_t step = 0; step < kRounds * kSequences; ++step) {
      const auto n = static_cast<std::uint32_t>(1 + step % kSequences);
      const auto mine = next(0, 1);
      std::vector<Chunk> chunks;
      for (std::uint32_t s = 1; s < n; ++s) chunks.push_back(next(s, 1));
      chunks.insert(chunks.begin() + static_cast<std::ptrdiff_t>(step / kSequences * (n - 1)), mine);
      expect_same(chunks, mine);
    }
    // Beside rows of a prompt, and rows of its own beside others'.
    const auto decoded = next(0, 1);
    expect_same({next(7, 14), decoded, next(6, 1)}, decoded);
    const auto several = next(0, 5);
    expect_same({next(5, 3), next(4, 9), several}, several);
  }
}

#ifndef TANDEM_ON_GPU  // a GPU cannot be told to fail
TEST(FailingDevice, IsAnExceptionAtEveryCall) {
  const auto options = options_for(KvType::f16);
  const auto tokens = random_tokens(4, 50, 9);
  const Placement placement{0b10'1101'0110, true};
  std::uint64_t calls = 0;
  for (bool works = false; !works; ++calls) {
    try {
      PlacedModel placed("gemma3_4l.gguf", options, placement, {.failing_call = calls + 1});
      placed.run(tokens, 4);
      works = true;
    } catch (const cuda::DeviceError& error) {
      ASSERT_NE(std::string(error.what()).find("fails, as was asked for"), std::string::npos);
    }
  }
  EXPECT_GT(calls, 100u);
}
#endif

INSTANTIATE_TEST_SUITE_P(Fixtures, AnyPlacement, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::cuda_test
