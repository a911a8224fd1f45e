#include "model/token_set.h"

#include <cmath>

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

}  // namespace
}  // namespace tandem::model
