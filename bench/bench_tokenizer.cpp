// Speed of text work at full vocabulary size: building a tokenizer, encoding, and choosing tokens.

#include <cstdint>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>

#include "bench/synthetic_vocabulary.h"
#include "model/gguf.h"
#include "model/gguf_writer.h"
#include "model/sampling.h"
#include "model/tokenizer.h"

namespace {

using tandem::model::Family;
using tandem::model::Header;
using tandem::model::Sampler;
using tandem::model::SamplingParams;
using tandem::model::SpecialText;
using tandem::model::TokenId;
using tandem::model::Tokenizer;

constexpr std::uint32_t kVocab = 262'144;
constexpr std::size_t kTextBytes = 100'000;

Header make_header(Family family) {
  tandem::model::GgufWriter writer;
  tandem::bench::write_synthetic_vocabulary(writer, family,
                                            tandem::bench::make_synthetic_vocabulary(family, kVocab));
  const auto bytes = std::make_shared<const std::string>(writer.header());
  return tandem::model::parse_header("bench.gguf", std::as_bytes(std::span(*bytes)), bytes);
}

const Header& header(Family family) {
  static const Header gemma3 = make_header(Family::gemma3);
  static const Header gemma4 = make_header(Family::gemma4);
  return family == Family::gemma3 ? gemma3 : gemma4;
}

const Tokenizer& tokenizer(Family family) {
  static const auto gemma3 = Tokenizer::from_header(header(Family::gemma3));
  static const auto gemma4 = Tokenizer::from_header(header(Family::gemma4));
  return family == Family::gemma3 ? *gemma3 : *gemma4;
}

/// The texts of random tokens, about as long as English words.
std::string random_text(const Tokenizer& tokens) {
  std::mt19937 random(1);
  std::string text;
  while (text.size() < kTextBytes) {
    text += tokens.token_bytes(static_cast<TokenId>(random() % tokens.size()));
    if (random() % 2 == 0) text += random() % 16 == 0 ? '\n' : ' ';
  }
  return text;
}

void construct(benchmark::State& state, Family family) {
  const auto& model = header(family);
  for (auto _ : state) benchmark::DoNotOptimize(Tokenizer::from_header(model));
}

void encode(benchmark::State& state, const std::string& text, const Tokenizer& tokens) {
  for (auto _ : state) benchmark::DoNotOptimize(tokens.encode(text, SpecialText::parsed));
  state.SetBytesProcessed(static_cast<std::int64_t>(text.size()) * state.iterations());
}

void encode_text(benchmark::State& state, Family family) {
  encode(state, random_text(tokenizer(family)), tokenizer(family));
}

void encode_one_letter(benchmark::State& state, Family family) {
  encode(state, std::string(kTextBytes, 'a'), tokenizer(family));
}

std::vector<float> random_logits() {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0F, 4.0F);
  std::vector<float> logits(kVocab);
  for (auto& logit : logits) logit = normal(random);
  return logits;
}

void sample(benchmark::State& state, const SamplingParams& params) {
  auto logits = random_logits();
  Sampler sampler(params, {}, {});
  for (auto _ : state) benchmark::DoNotOptimize(sampler.sample(logits));
}

void top_logprobs(benchmark::State& state) {
  const auto logits = random_logits();
  for (auto _ : state) benchmark::DoNotOptimize(tandem::model::top_logprobs(logits, 20));
}

constexpr auto kMs = benchmark::kMillisecond;
constexpr auto kUs = benchmark::kMicrosecond;
BENCHMARK_CAPTURE(construct, gemma3, Family::gemma3)->Unit(kMs);
BENCHMARK_CAPTURE(construct, gemma4, Family::gemma4)->Unit(kMs);
BENCHMARK_CAPTURE(encode_text, gemma3, Family::gemma3)->Unit(kMs);
BENCHMARK_CAPTURE(encode_text, gemma4, Family::gemma4)->Unit(kMs);
BENCHMARK_CAPTURE(encode_one_letter, gemma3, Family::gemma3)->Unit(kMs);
BENCHMARK_CAPTURE(encode_one_letter, gemma4, Family::gemma4)->Unit(kMs);
BENCHMARK_CAPTURE(sample, greedy, SamplingParams{.temperature = 0.0F})->Unit(kUs);
BENCHMARK_CAPTURE(sample, top_k_64_top_p_95, SamplingParams{})->Unit(kUs);
BENCHMARK_CAPTURE(sample, top_p_95, SamplingParams{.top_k = 0})->Unit(kUs);
BENCHMARK_CAPTURE(sample, top_p_95_flat, SamplingParams{.temperature = 100.0F, .top_k = 0})->Unit(kUs);
BENCHMARK_CAPTURE(sample, everything, SamplingParams{.top_k = 0, .top_p = 1.0F})->Unit(kUs);
BENCHMARK(top_logprobs)->Unit(kUs);

}  // namespace

BENCHMARK_MAIN();
