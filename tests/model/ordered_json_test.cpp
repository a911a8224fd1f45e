#include "model/ordered_json.h"

#include <algorithm>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace tandem {
namespace {

/// nlohmann's own type for objects whose order is kept.
using Reference = nlohmann::ordered_json;

void change(OrderedJson& object, Reference& reference, std::mt19937& random) {
  const std::string key = "k" + std::to_string(random() % 60);
  const int value = static_cast<int>(random() % 1000);
  switch (random() % 5) {
    case 0:
      EXPECT_EQ(object.erase(key), reference.erase(key));
      break;
    case 1:
      EXPECT_EQ(object.emplace(key, value).second, reference.emplace(key, value).second);
      break;
    default:
      object[key] = value;
      reference[key] = value;
  }
}

TEST(OrderedJson, IsWhatNlohmannsIs) {
  for (unsigned seed = 0; seed < 30; ++seed) {
    std::mt19937 random(seed);
    auto object = OrderedJson::object();
    auto reference = Reference::object();
    for (int step = 0; step < 200; ++step) {
      change(object, reference, random);
      const auto copy = object;
      ASSERT_EQ(copy.dump(), reference.dump());
      for (int key = 0; key < 60; ++key) {
        const auto name = "k" + std::to_string(key);
        ASSERT_EQ(copy.value(name, -1), reference.value(name, -1));
        ASSERT_EQ(copy.contains(name), reference.contains(name));
      }
      ASSERT_EQ(copy, object);
      object["another"] = seed;
      ASSERT_NE(copy, object);
      object = copy;
    }
    const auto text = reference.dump();
    EXPECT_EQ(OrderedJson::parse(text).dump(), text);
    const auto moved = std::move(object);
    EXPECT_EQ(moved.dump(), text);
    EXPECT_EQ(OrderedJson::object({{"a", 1}, {"b", moved}, {"a", 2}}).dump(),
              Reference::object({{"a", 1}, {"b", reference}, {"a", 2}}).dump());
  }
}

TEST(OrderedJson, TakesTheLastOfMembersWithOneName) {
  const auto* const text = R"({"b": 1, "a": {"x": 0}, "b": 2})";
  EXPECT_EQ(OrderedJson::parse(text).dump(), Reference::parse(text).dump());
  EXPECT_EQ(OrderedJson::parse(text).at("b"), 2);
  EXPECT_THROW(static_cast<void>(OrderedJson::parse(text).at("c")), OrderedJson::out_of_range);
}

/// What is within a member would be copied with it, at every level.
TEST(OrderedJson, LeavesMembersWhereTheyAreAsItGrows) {
  auto object = OrderedJson::object();
  std::vector<const OrderedJson*> places;
  for (int i = 0; i < 1000; ++i) {
    auto& member = object["k" + std::to_string(i)];
    member = {{"i", i}};
    places.push_back(&member);
  }
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(places[i], &object.at("k" + std::to_string(i)));
  object.erase("k500");
  EXPECT_EQ(std::next(object.begin(), 500).key(), "k501");
  object.erase(object.begin(), std::next(object.begin(), 990));
  EXPECT_EQ(object.size(), 9U);
  EXPECT_FALSE(object.contains("k3"));
  EXPECT_EQ(&object.at("k999"), places[999]);
  object.clear();
  EXPECT_FALSE(object.contains("k999"));
}

}  // namespace
}  // namespace tandem
