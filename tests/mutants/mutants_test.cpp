// Planted mistakes: the fixtures must notice every one of them.  A suite that passes one is broken.

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/mutant.h"
#include "tests/backends/cpu_model.h"
#include "tests/support/fixture.h"

namespace tandem::cpu {
namespace {

using test_support::CpuModel;
using test_support::CpuModelOptions;
using test_support::Fixture;
using test_support::ModelViews;
using test_support::reference_path;

constexpr double kTolerance = 2e-5;  // of the logit range, as in forward_test.cpp

const char* const kModels[] = {"gemma3_7l", "gemma3_62l",        "gemma3_4l",
                               "gemma4_8l", "gemma4_7l_sliding", "gemma4_4l"};

/// A mistake in the backend, or in the hyper-parameters it is handed.
struct Mistake {
  const char* name;
  Mutant mutant = Mutant::none;
  std::function<void(ModelViews&)> change = [](ModelViews&) {};
};

template <class Change>
std::function<void(ModelViews&)> each_attention(Change change) {
  return [change](ModelViews& views) {
    for (device::Unit& unit : views.units) {
      if (unit.kind == device::UnitKind::attention) change(unit.attention);
    }
  };
}

/// Multiplies the base theta of a rotation: inv_freq_i = theta^(-2i/d).
void scale_theta(std::vector<double>& inv_freq, double factor) {
  const auto pairs = static_cast<double>(inv_freq.size());
  for (std::size_t i = 0; i < inv_freq.size(); ++i)
    inv_freq[i] *= std::pow(factor, -static_cast<double>(i) / pairs);
}

void add_to_norms(ModelViews& views, float summand) {
  for (std::vector<float>& norm : views.norms) {
    if (norm.size() == 1) continue;  // a layer_output_scale
    for (float& weight : norm) weight += summand;
  }
}

void swap_thetas(ModelViews& views) {
  scale_theta(views.rope_sliding, 1e6 / 1e4);
  scale_theta(views.rope_global, 1e4 / 1e6);
}

void ignore_rope_freqs(ModelViews& views) {
  const auto pairs = static_cast<double>(views.rope_global.size());
  for (std::size_t i = 0; i < views.rope_global.size(); ++i) {
    if (views.rope_global[i] == 0.0) views.rope_global[i] = std::pow(1e6, -static_cast<double>(i) / pairs);
  }
}

/// 1/sqrt(head_dim) where the 62-layer model has 1/sqrt(width / heads).
void scale_by_head_dim(device::AttentionHalf& half) {
  if (half.attention_scale != 1.0f)
    half.attention_scale = 1.0f / std::sqrt(static_cast<float>(half.head_dim));
}

void scale_query(device::AttentionHalf& half) {
  half.attention_scale *= 1.0f / std::sqrt(static_cast<float>(half.head_dim));
}

void forget_output_scale(ModelViews& views) {
  for (device::Unit& unit : views.units) unit.ffn.output_scale = 1.0f;
}

void multiply(std::vector<double>& inv_freq, double factor) {
  for (double& frequency : inv_freq) frequency *= factor;
}

const Mistake kMistakes[] = {
    {"window_plus_one", Mutant::window_plus_one},
    {"window_minus_one", Mutant::window_minus_one},
    {"erf_gelu", Mutant::erf_gelu},
    {"adjacent_pair_rope", Mutant::adjacent_pair_rope},
    {"rotated_v", Mutant::rotated_v},
    {"weighted_v_norm", Mutant::weighted_v_norm},
    {"norm_after_rope", Mutant::norm_after_rope},
    {"kv_head_by_remainder", Mutant::kv_head_by_remainder},
    {"no_post_norm", Mutant::no_post_norm},
    {"scale_before_residual", Mutant::scale_before_residual},
    {"rope_off_by_one", Mutant::rope_off_by_one},
    {"commit_before_attention", Mutant::commit_before_attention},
    {"skip_last_key", Mutant::skip_last_key},
    {"swapped_gate_and_up", Mutant::swapped_gate_and_up},
    {"ring_too_small", Mutant::ring_too_small},
    {"swapped_thetas", Mutant::none, swap_thetas},
    {"missing_linear_factor", Mutant::none, [](ModelViews& views) { multiply(views.rope_global, 8.0); }},
    {"linear_factor_on_sliding_layers", Mutant::none,
     [](ModelViews& views) { multiply(views.rope_sliding, 1.0 / 8); }},
    {"missing_v_norm", Mutant::none,
     each_attention([](device::AttentionHalf& half) { half.v_norm = false; })},
    {"missing_layer_output_scale", Mutant::none, forget_output_scale},
    {"missing_softcap", Mutant::none, [](ModelViews& views) { views.head.softcap = 0.0f; }},
    {"one_plus_w_norms", Mutant::none, [](ModelViews& views) { add_to_norms(views, 1.0f); }},
    {"w_minus_one_norms", Mutant::none, [](ModelViews& views) { add_to_norms(views, -1.0f); }},
    {"scaled_query", Mutant::none, each_attention(scale_query)},
    {"unscaled_query", Mutant::none,
     each_attention([](device::AttentionHalf& half) { half.attention_scale = 1.0f; })},
    {"ignored_rope_freqs", Mutant::none, ignore_rope_freqs},
    {"wrong_27b_scale", Mutant::none, each_attention(scale_by_head_dim)},
    {"missing_embedding_scale", Mutant::none, [](ModelViews& views) { views.embedding.scale = 1.0f; }},
};

/// The largest difference over the models, as a share of the range: longest sequence, at once and in chunks.
double largest_difference(const Mistake& mistake) {
  active_mutant = mistake.mutant;
  double largest = 0;
  for (const std::string name : kModels) {
    const Fixture fixture = Fixture::load(reference_path(name + ".fixture"));
    const std::string length = std::to_string(fixture.i32("lengths").back());
    const auto tokens = fixture.i32(std::string("tokens_").append(length));
    const auto expected = fixture.f32(std::string("logits_").append(length));
    CpuModelOptions options;
    options.mistake = mistake.change;
    for (const std::size_t chunk : {std::size_t{1}, std::size_t{9}, tokens.size()}) {
      CpuModel model(name + ".gguf", options);
      largest = std::max(largest, test_support::difference_of_range(model.run(tokens, chunk), expected));
    }
  }
  active_mutant = Mutant::none;
  return largest;
}

TEST(Mutants, WithoutAMistakeTheFixturesPass) {
  EXPECT_LE(largest_difference({"none"}), kTolerance);
}

class Mutants : public testing::TestWithParam<Mistake> {};

TEST_P(Mutants, AreNoticed) {
  EXPECT_GT(largest_difference(GetParam()), kTolerance);
}

INSTANTIATE_TEST_SUITE_P(Planted, Mutants, testing::ValuesIn(kMistakes),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace tandem::cpu
