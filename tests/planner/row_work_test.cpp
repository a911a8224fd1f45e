#include "planner/row_work.h"

#include <gtest/gtest.h>

#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

class RowWork : public testing::Test {
 protected:
  const planner_test::Subject subject_ = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
};

TEST_F(RowWork, AnFfnHalfHasGatesAndUps) {
  const auto elems = row_elems(subject_.input, {UnitKind::ffn, 0});
  EXPECT_EQ(elems.norms, 4 * 3840);
  EXPECT_EQ(elems.geglu, 15360);
  EXPECT_EQ(elems.inputs, 3840 + 15360);
  EXPECT_EQ(elems.outputs, 2 * 15360 + 3840);
  EXPECT_EQ(elems.heads + elems.heads_begun + elems.logits, 0);
}

TEST_F(RowWork, AnAttentionHalfHasHeads) {
  const auto sliding = row_elems(subject_.input, {UnitKind::attention, 0});  // 16 heads of 256 on 8
  EXPECT_EQ(sliding.heads, 2 * (16 + 8) * 256);
  EXPECT_EQ(sliding.heads_begun, 16 + 2 * 8);
  EXPECT_EQ(sliding.inputs, 3840 + 16 * 256);
  EXPECT_EQ(sliding.outputs, (16 + 2 * 8) * 256 + 3840);
  const auto global = row_elems(subject_.input, {UnitKind::attention, 5});  // 16 of 512 on 1, no V projection
  EXPECT_EQ(global.outputs, (16 + 1) * 512 + 3840);
}

TEST_F(RowWork, TheHeadHasLogits) {
  const auto elems = row_elems(subject_.input, {UnitKind::head, 0});
  EXPECT_EQ(elems.norms, 2 * 3840);
  EXPECT_EQ(elems.inputs, 3840);
  EXPECT_EQ(elems.outputs, 262144);
  EXPECT_EQ(elems.logits, 262144);
}

TEST(RowWorkTime, ThreadsWaitForWholeRowsAndShareTheRest) {
  RowElems elems;
  elems.norms = 1000;
  elems.geglu = 500;
  ElementRates rates;
  rates.norms_g_per_s = 1;
  EXPECT_DOUBLE_EQ(row_work_us(elems, rates, 3, 0), 3);
  EXPECT_DOUBLE_EQ(row_work_us(elems, rates, 3, 4), 4);
  EXPECT_DOUBLE_EQ(row_work_us(elems, rates, 5, 4), 8);
  rates.geglu_g_per_s = 2;
  EXPECT_DOUBLE_EQ(row_work_us(elems, rates, 5, 4), 8 + 5 * 0.25);
}

}  // namespace
}  // namespace tandem::planner
