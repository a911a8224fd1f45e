#include "planner/model_input.h"

#include <gtest/gtest.h>

#include "planner/printable.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

TEST(ModelInput, PlacesEveryTensorOnce) {
  std::mt19937 random(41);
  for (int round = 0; round < 60; ++round) {
    const auto subject = planner_test::random_subject(random);
    const auto& input = subject.input;
    std::uint64_t bytes = 0;
    std::uint64_t elems = 0;
    const auto count = [&](const UnitWeights& unit) {
      bytes += unit.bytes;
      std::uint64_t share_bytes = 0;
      for (const auto& share : unit.shares) {
        EXPECT_EQ(share.bytes, model::tensor_bytes(share.type, share.elems));
        share_bytes += share.bytes;
        elems += share.elems;
      }
      EXPECT_EQ(share_bytes, unit.bytes);
    };
    count(input.head);
    count(input.embedding);
    for (const auto& layer : input.layers) {
      count(layer.attention);
      count(layer.ffn);
    }
    const auto* rope = subject.header.find_tensor("rope_freqs.weight");
    const auto unplaced = rope == nullptr ? 0 : rope->size_bytes;
    EXPECT_EQ(input.facts.unplaced_bytes, unplaced);
    EXPECT_EQ(bytes + unplaced, subject.header.tensor_bytes);
    std::uint64_t all_elems = 0;
    for (const auto& tensor : subject.header.tensors) all_elems += tensor.elems();
    EXPECT_EQ(elems + unplaced / 4, all_elems);
  }
}

TEST(ModelInput, KnowsThePublishedModel) {
  const auto subject = planner_test::catalogue_subject("gemma4-12b-qat-q4_0");
  const auto& facts = subject.input.facts;
  EXPECT_EQ(facts.family, "gemma4");
  EXPECT_EQ(facts.layers, 48U);
  EXPECT_EQ(facts.tensors, 667U);
  EXPECT_EQ(facts.tensor_bytes, 6'960'054'464U);
  EXPECT_EQ(facts.context_length, 262'144U);
  EXPECT_EQ(subject.input.head_type, "Q6_K");
  EXPECT_EQ(subject.input.embedding, UnitWeights{});
  EXPECT_EQ(subject.input.head.bytes, 262'144U * 3840 / 256 * 210 + 3840 * 4);
}

TEST(ModelInput, MakesNamesSafeToShow) {
  EXPECT_EQ(printable("Gemma \xc3\xa9"), "Gemma \xc3\xa9");
  EXPECT_EQ(printable("a\x1b[31mred\n"), "a [31mred ");
  EXPECT_EQ(printable("half \xc3"), "half \xef\xbf\xbd");
  EXPECT_EQ(printable(""), "");
}

}  // namespace
}  // namespace tandem::planner
