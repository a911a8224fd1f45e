// What rounding activations to integers and KV to halves does to the embedded model's answers, against the
// same weights as floats: how far the distribution of the next token moves.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "model/tokenizer.h"
#include "tests/backends/cpu_model.h"
#include "tests/backends/float_model.h"
#include "tests/support/fixture.h"

namespace tandem::test_support {
namespace {

/// Measured: 0.00028 nats a token in the mean.  The arithmetic is the same to the bit on every machine, but
/// for the C library's functions; what moves it is a change of kernels.
constexpr double kMostMeanNats = 0.0003;

const std::string kText =
    "git is a fast, scalable, distributed revision control system with an unusually rich command set that "
    "provides "
    "both high-level operations and full access to internals. This package provides the main components with "
    "minimal "
    "dependencies. Additional functionality, e.g. a graphical user interface and revision tree visualizer, "
    "tools for "
    "interoperating with other version control systems, or a web interface, is provided as separate "
    "packages. The "
    "library reads and writes several image formats, and a small set of command line tools is included. It "
    "supports "
    "plugins, translations and a documentation browser; this package contains the development files and "
    "headers.";

std::vector<double> log_softmax(const float* logits, std::size_t n) {
  double most = logits[0], sum = 0;
  for (std::size_t i = 0; i < n; ++i) most = std::max(most, double{logits[i]});
  for (std::size_t i = 0; i < n; ++i) sum += std::exp(logits[i] - most);
  std::vector<double> logs(n);
  for (std::size_t i = 0; i < n; ++i) logs[i] = logits[i] - most - std::log(sum);
  return logs;
}

/// Sum over tokens of p log(p / q), in nats.
double divergence(const std::vector<double>& p_logs, const std::vector<double>& q_logs) {
  double sum = 0;
  for (std::size_t i = 0; i < p_logs.size(); ++i) sum += std::exp(p_logs[i]) * (p_logs[i] - q_logs[i]);
  return sum;
}

TEST(Divergence, OfTheEmbeddedModelFromItsWeightsAsFloats) {
  const auto header = model::read_header(source_path("config/embedded/tandem-tiny-q4_0.gguf"));
  const auto tokens = model::Tokenizer::from_header(header)->encode_prompt(kText, model::SpecialText::parsed);
  CpuModelOptions options;
  options.max_seq_len = static_cast<std::uint32_t>(tokens.size());
  options.threads = 2;
  const auto expected = CpuModel(in_floats(header), options).run(tokens, 64);
  options.kv_type = device::KvType::f16;
  CpuModel model(header, options);
  const auto logits = model.run(tokens, 64);
  const std::size_t vocab = model.hyper().vocab;
  double sum = 0;
  for (std::size_t at = 0; at < tokens.size(); ++at) {
    sum += divergence(log_softmax(&expected[at * vocab], vocab), log_softmax(&logits[at * vocab], vocab));
  }
  const auto mean_nats = sum / static_cast<double>(tokens.size());
  RecordProperty("mean_nats", std::to_string(mean_nats));
  EXPECT_GT(mean_nats, 0) << "two different computations";
  EXPECT_LE(mean_nats, kMostMeanNats) << tokens.size() << " tokens";
}

}  // namespace
}  // namespace tandem::test_support
