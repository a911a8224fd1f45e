// Logits of an all-CPU plan are the same to the bit for any thread count, batch company and chunking.

#include <cstring>
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
using test_support::Fixture;
using test_support::reference_path;

struct Case {
  const char* model;
  device::KvType kv_type;
};

class Determinism : public testing::TestWithParam<Case> {
 protected:
  Determinism() {
    const Fixture fixture = Fixture::load(reference_path(std::string(GetParam().model) + ".fixture"));
    for (const std::int32_t length : fixture.i32("lengths")) {
      std::string name = "tokens_";
      name += std::to_string(length);
      const auto tokens = fixture.i32(name);
      sequences_.emplace_back(tokens.begin(), tokens.end());
    }
    options_.kv_type = GetParam().kv_type;
    options_.sequences = 5;
    options_.micro_batch = 128;
  }

  CpuModel make_model() const { return {std::string(GetParam().model) + ".gguf", options_}; }
  const std::vector<std::int32_t>& longest() const { return sequences_.back(); }
  std::vector<float> expected() const { return CpuModel(make_model()).run(longest(), 64); }

  static bool same_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size_bytes()) == 0;
  }

  std::vector<std::vector<std::int32_t>> sequences_;
  CpuModelOptions options_;
};

TEST_P(Determinism, OverThreadCounts) {
  const std::vector<float> one = expected();
  for (const unsigned threads : {2u, 3u, 4u}) {
    options_.threads = threads;
    EXPECT_TRUE(same_bits(make_model().run(longest(), 64), one)) << threads << " threads";
  }
}

TEST_P(Determinism, OverThreadCountsTokenByToken) {
  const std::vector<float> one = expected();
  options_.threads = 2;
  EXPECT_TRUE(same_bits(make_model().run(longest(), 1), one));
}

TEST_P(Determinism, OverChunkings) {
  const std::vector<float> whole = expected();
  for (const std::size_t chunk : {1, 3, 8, 9, 17, 40}) {
    EXPECT_TRUE(same_bits(make_model().run(longest(), chunk), whole)) << "chunks of " << chunk;
  }
}

TEST_P(Determinism, OverPiecesOfALongContext) {
  constexpr std::size_t kBefore = 2 * kPieceTok, kTail = 8;
  std::vector<std::int32_t> tokens;
  while (tokens.size() < kBefore + kTail) tokens.insert(tokens.end(), longest().begin(), longest().end());
  tokens.resize(kBefore + kTail);
  options_.max_seq_len = kBefore + kTail;
  const std::vector<float> whole = make_model().run(tokens, 64);
  options_.threads = 2;
  struct Steps {
    std::uint32_t micro_batch;
    std::size_t chunk;
  };
  // Room for all pieces of a step, and for one beside what those before gave.
  for (const auto& [micro_batch, chunk] : {Steps{64, 1}, Steps{8, 4}}) {
    options_.micro_batch = micro_batch;
    CpuModel model = make_model();
    const auto step = [&](std::size_t at, std::size_t n) {
      const Chunk rows{0, at, std::span(tokens).subspan(at, n)};
      return model.step({&rows, 1});
    };
    for (std::size_t at = 0; at < kBefore; at += micro_batch) step(at, micro_batch);
    std::vector<float> tail;
    for (std::size_t at = kBefore; at < tokens.size(); at += chunk) {
      const std::vector<float> logits = step(at, chunk);
      tail.insert(tail.end(), logits.begin(), logits.end());
    }
    EXPECT_TRUE(same_bits(tail, std::span(whole).last(kTail * model.hyper().vocab)))
        << "chunks of " << chunk << " in micro-batches of " << micro_batch;
  }
}

TEST_P(Determinism, OverBatchCompany) {
  // All five sequences together, the longest in the middle and in chunks of its own, against each of them
  // alone.
  std::vector<std::vector<float>> alone;
  for (const auto& tokens : sequences_) alone.push_back(make_model().run(tokens, 64));
  options_.threads = 2;
  CpuModel model = make_model();
  const std::size_t vocab = model.hyper().vocab;
  std::vector<std::vector<float>> together(sequences_.size());
  constexpr std::uint32_t kOrder[] = {1, 0, 4, 3, 2};
  constexpr std::size_t kChunk[] = {1, 3, 6, 17, 11};  // of sequence s
  for (std::vector<std::size_t> at(sequences_.size());;) {
    std::vector<Chunk> chunks;
    for (const std::uint32_t s : kOrder) {
      const std::size_t n = std::min(kChunk[s], sequences_[s].size() - at[s]);
      if (n > 0) chunks.push_back({s, at[s], std::span(sequences_[s]).subspan(at[s], n)});
    }
    if (chunks.empty()) break;
    const std::vector<float> logits = model.step(chunks);
    auto from = logits.begin();
    for (const Chunk& chunk : chunks) {
      const auto n = static_cast<std::ptrdiff_t>(chunk.tokens.size() * vocab);
      together[chunk.slot].insert(together[chunk.slot].end(), from, from + n);
      from += n;
      at[chunk.slot] += chunk.tokens.size();
    }
  }
  for (std::size_t s = 0; s < sequences_.size(); ++s) EXPECT_TRUE(same_bits(together[s], alone[s])) << s;
}

TEST_P(Determinism, OverInstructionSets) {
  const std::vector<float> best = expected();
  for (const KernelSet* kernels : supported_kernel_sets()) {
    options_.kernels = kernels;
    EXPECT_TRUE(same_bits(make_model().run(longest(), 10), best)) << kernels->name;
  }
}

TEST_P(Determinism, ASlotCanBeUsedAgain) {
  const std::vector<float> fresh = expected();
  CpuModel model = make_model();
  model.run(sequences_[3], 64);
  EXPECT_TRUE(same_bits(model.run(longest(), 64), fresh));
}

std::string case_name(const testing::TestParamInfo<Case>& test) {
  std::string name = test.param.model;
  switch (test.param.kv_type) {
    case device::KvType::f32:
      return name + "_f32";
    case device::KvType::f16:
      return name + "_f16";
    case device::KvType::q8_0:
      return name + "_q8_0";
  }
  return name;
}

constexpr Case kCases[] = {{"gemma3_7l", device::KvType::f32},
                           {"gemma3_4l", device::KvType::q8_0},
                           {"gemma4_8l", device::KvType::f32},
                           {"gemma4_8l", device::KvType::f16},
                           {"gemma4_4l", device::KvType::f16}};

INSTANTIATE_TEST_SUITE_P(Models, Determinism, testing::ValuesIn(kCases), case_name);

}  // namespace
}  // namespace tandem::cpu
