#include "model/token_set.h"

#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

TEST(TokenSet, KeepsOnlyAllowedLogits) {
  TokenSet allowed(130);
  for (const auto token : {0, 63, 64, 129}) allowed.add(token);
  std::vector<float> logits(130, 1.0F);
  keep_only(allowed, logits);
  for (std::size_t i = 0; i < logits.size(); ++i) {
    EXPECT_EQ(std::isinf(logits[i]), !allowed.contains(static_cast<TokenId>(i))) << i;
  }
  EXPECT_EQ(allowed.size(), 4U);
}

/// Every mix of words: none, all, some; with a last word that is not whole.
TEST(TokenSet, KeepsTheValuesOfRandomSets) {
  std::mt19937 random(3);
  for (const std::uint32_t vocabulary : {1U, 63U, 64U, 65U, 1000U, 4096U}) {
    TokenSet allowed(vocabulary);
    std::vector<float> logits(vocabulary);
    for (std::uint32_t token = 0; token < vocabulary; ++token) {
      const auto mix = token / 64 % 3;
      if (mix == 0 || (mix == 1 && random() % 2 == 0)) allowed.add(static_cast<TokenId>(token));
      logits[token] = static_cast<float>(token) - 500.0F;
    }
    keep_only(allowed, logits);
    for (std::uint32_t token = 0; token < vocabulary; ++token) {
      const auto kept = allowed.contains(static_cast<TokenId>(token));
      EXPECT_EQ(logits[token],
                kept ? static_cast<float>(token) - 500.0F : -std::numeric_limits<float>::infinity());
    }
  }
}

}  // namespace
}  // namespace tandem::model
