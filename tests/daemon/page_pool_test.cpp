#include "daemon/scheduler/page_pool.h"

#include <set>

#include <gtest/gtest.h>

namespace tandem::scheduler {
namespace {

TEST(PagePool, HandsOutEveryPageOnceLowestFirst) {
  PagePool pool(5);
  std::vector<std::uint32_t> table;
  ASSERT_TRUE(pool.take(3, table));
  EXPECT_EQ(table, (std::vector<std::uint32_t>{0, 1, 2}));
  ASSERT_TRUE(pool.take(2, table));
  EXPECT_EQ(table, (std::vector<std::uint32_t>{0, 1, 2, 3, 4}));
  EXPECT_EQ(pool.free_pages(), 0U);
}

TEST(PagePool, TakesNothingWhenTooFewAreFree) {
  PagePool pool(2);
  std::vector<std::uint32_t> table;
  EXPECT_FALSE(pool.take(3, table));
  EXPECT_TRUE(table.empty());
  EXPECT_EQ(pool.free_pages(), 2U);
}

TEST(PagePool, GivenBackPagesComeAgain) {
  PagePool pool(4);
  std::vector<std::uint32_t> first;
  std::vector<std::uint32_t> second;
  ASSERT_TRUE(pool.take(2, first));
  ASSERT_TRUE(pool.take(2, second));
  pool.give_back(first);
  EXPECT_TRUE(first.empty());
  ASSERT_TRUE(pool.take(2, first));
  std::set<std::uint32_t> all(first.begin(), first.end());
  all.insert(second.begin(), second.end());
  EXPECT_EQ(all.size(), 4U);
}

}  // namespace
}  // namespace tandem::scheduler
