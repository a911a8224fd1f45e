#include "model/mask_store.h"

#include <thread>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

std::shared_ptr<const RuleMask> mask_of(std::size_t tokens) {
  auto mask = std::make_shared<RuleMask>();
  mask->few.assign(tokens, 7);
  return mask;
}

TEST(MaskStore, GivesBackWhatWasKept) {
  const auto store = std::make_shared<MaskStore>();
  MaskShelf one(store);
  MaskShelf other(store);
  const auto first = mask_of(1);
  const auto second = mask_of(2);
  one.keep(5, first);
  other.keep(5, second);
  EXPECT_EQ(one.find(5), first);
  EXPECT_EQ(other.find(5), second);
  EXPECT_EQ(one.find(6), nullptr);
  EXPECT_EQ(store->bytes(), first->bytes() + second->bytes());
  one.keep(5, second);
  EXPECT_EQ(one.find(5), second);
  EXPECT_EQ(store->bytes(), 2 * second->bytes());
}

TEST(MaskStore, AMaskTakesWhatItHolds) {
  RuleMask mask;
  const auto empty = mask.bytes();
  mask.many.emplace(262'144);
  EXPECT_GE(mask.bytes(), empty + 32'768);
  mask.beyond.resize(1000);
  mask.first_beyond.resize(257);
  EXPECT_GE(mask.bytes(), empty + 32'768 + 4 * 1257);
}

TEST(MaskStore, DropsWhatWasNotUsedForLongest) {
  const auto store = std::make_shared<MaskStore>(3 * mask_of(100)->bytes());
  MaskShelf one(store);
  MaskShelf other(store);
  one.keep(1, mask_of(100));
  other.keep(1, mask_of(100));
  one.keep(2, mask_of(100));
  const auto held = other.find(1);
  EXPECT_TRUE(one.find(1));
  one.keep(3, mask_of(100));  // 2 was used longest ago
  EXPECT_FALSE(one.find(2));
  EXPECT_TRUE(one.find(1));
  EXPECT_TRUE(one.find(3));
  other.keep(9, mask_of(250));  // as large as two and a half: of the two used last, neither fits beside it
  EXPECT_FALSE(other.find(1));
  EXPECT_EQ(held->few.size(), 100U) << "who holds a mask keeps it";
  EXPECT_TRUE(other.find(9));
  EXPECT_LE(store->bytes(), 3 * mask_of(100)->bytes());
}

TEST(MaskStore, KeepsNothingThatIsLargerThanAll) {
  const auto store = std::make_shared<MaskStore>(mask_of(10)->bytes());
  MaskShelf shelf(store);
  shelf.keep(1, mask_of(10));
  shelf.keep(2, mask_of(11));
  EXPECT_TRUE(shelf.find(1));
  EXPECT_FALSE(shelf.find(2));
}

TEST(MaskStore, AShelfIsEmptiedAtItsEnd) {
  const auto store = std::make_shared<MaskStore>();
  MaskShelf stays(store);
  stays.keep(1, mask_of(1));
  {
    MaskShelf goes(store);
    for (std::uint32_t place = 0; place < 50; ++place) goes.keep(place, mask_of(place));
    goes.clear();
    EXPECT_FALSE(goes.find(3));
    goes.keep(3, mask_of(1));
  }
  EXPECT_TRUE(stays.find(1));
  EXPECT_EQ(store->bytes(), mask_of(1)->bytes());
}

TEST(MaskStore, TakesSeveralThreads) {
  const std::size_t most = 20 * mask_of(10)->bytes();
  const auto store = std::make_shared<MaskStore>(most);
  const auto use = [&] {
    MaskShelf shelf(store);
    for (std::uint32_t i = 0; i < 5000; ++i) {
      const auto place = i * 7919 % 31;
      const auto found = shelf.find(place);
      if (found == nullptr) {
        shelf.keep(place, mask_of(place));
      } else {
        EXPECT_EQ(found->few.size(), place);
      }
      EXPECT_LE(store->bytes(), most);
    }
  };
  std::thread other(use);
  use();
  other.join();
  EXPECT_EQ(store->bytes(), 0U);
}

}  // namespace
}  // namespace tandem::model
