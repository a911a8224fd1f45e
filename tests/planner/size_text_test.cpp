#include "planner/size_text.h"

#include <gtest/gtest.h>

#include "planner/errors.h"

namespace tandem::planner {
namespace {

TEST(SizeText, ReadsPlainBytesAndUnits) {
  EXPECT_EQ(parse_size("size", "0"), 0U);
  EXPECT_EQ(parse_size("size", "12345"), 12345U);
  EXPECT_EQ(parse_size("size", "7B"), 7U);
  EXPECT_EQ(parse_size("size", "1KB"), 1000U);
  EXPECT_EQ(parse_size("size", "1KiB"), 1024U);
  EXPECT_EQ(parse_size("size", "3MB"), 3'000'000U);
  EXPECT_EQ(parse_size("size", "3MiB"), 3'145'728U);
  EXPECT_EQ(parse_size("size", "12GB"), 12'000'000'000U);
  EXPECT_EQ(parse_size("size", "12GiB"), 12'884'901'888U);
  EXPECT_EQ(parse_size("size", "12gib"), 12'884'901'888U);
  EXPECT_EQ(parse_size("size", "12 GiB"), 12'884'901'888U);
  EXPECT_EQ(parse_size("size", "2TB"), 2'000'000'000'000U);
  EXPECT_EQ(parse_size("size", "2TiB"), 2'199'023'255'552U);
  EXPECT_EQ(parse_size("size", "18446744073709551615"), ~std::uint64_t{0});
}

TEST(SizeText, RefusesEverythingElse) {
  for (const auto* text :
       {"", "GiB", "-1", "+1", "1.5GiB", " 12", "12 ", "12GiB ", "12 Gi B", "12Gi", "12G", "12bytes", "0x10",
        "1e9", "nan", "18446744073709551616", "16777216TiB", "99999999999999999999KB"}) {
    EXPECT_THROW(parse_size("size", text), BadQuestion) << "\"" << text << "\"";
  }
}

TEST(SizeText, NamesTheValueAndWhatIsWrongInItsMessage) {
  for (const auto& [text, problem] :
       {std::pair{"12GB/s", "no such unit"}, std::pair{"1.5GiB", "not a whole number"}}) {
    try {
      parse_size("--vram", text);
      FAIL();
    } catch (const BadQuestion& error) {
      EXPECT_EQ(error.what(), "--vram \"" + std::string(text) + "\": " + problem);
      EXPECT_FALSE(error.hint().empty());
    }
  }
}

TEST(SizeText, ReadsCountsUpToALimit) {
  EXPECT_EQ(parse_count("n", "0", 10), 0U);
  EXPECT_EQ(parse_count("n", "10", 10), 10U);
  for (const auto* text : {"", "11", "-1", "1.0", "ten", "1 ", "99999999999999999999"}) {
    EXPECT_THROW(parse_count("n", text, 10), BadQuestion) << "\"" << text << "\"";
  }
}

TEST(SizeText, GroupsDigits) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1000), "1,000");
  EXPECT_EQ(grouped(6'960'054'464), "6,960,054,464");
  EXPECT_EQ(grouped(~std::uint64_t{0}), "18,446,744,073,709,551,615");
}

TEST(SizeText, RoundsToThreeDigits) {
  EXPECT_EQ(short_size(0), "0 B");
  EXPECT_EQ(short_size(999), "999 B");
  EXPECT_EQ(short_size(1000), "1.00 kB");
  EXPECT_EQ(short_size(999'499), "999 kB");
  EXPECT_EQ(short_size(999'999), "1.00 MB");
  EXPECT_EQ(short_size(6'960'054'464), "6.96 GB");
  EXPECT_EQ(short_size(12'884'901'888), "12.9 GB");
  EXPECT_EQ(short_size(~std::uint64_t{0}), "18.4 EB");
  EXPECT_EQ(three_digits(0), "0.00");
  EXPECT_EQ(three_digits(0.005), "0.005");
  EXPECT_EQ(three_digits(0.0996), "0.10");
  EXPECT_EQ(three_digits(0.5), "0.50");
  EXPECT_EQ(three_digits(9.996), "10.0");
  EXPECT_EQ(three_digits(44.06), "44.1");
  EXPECT_EQ(three_digits(99.96), "100");
  EXPECT_EQ(three_digits(1380.2), "1380");
}

TEST(SizeText, ExactSizesLoseNothing) {
  EXPECT_EQ(exact_size(0), "0 B");
  EXPECT_EQ(exact_size(1000), "1,000 B");
  EXPECT_EQ(exact_size(6ULL << 30), "6 GiB");
  EXPECT_EQ(exact_size(1536ULL << 20), "1,536 MiB");
  EXPECT_EQ(exact_size((6ULL << 30) + 1), "6,442,450,945 B");
  EXPECT_EQ(exact_size(3ULL << 50), "3,072 TiB");
}

TEST(ShortDuration, IsSixLettersAtMost) {
  EXPECT_EQ(short_duration(0.43), "0.43s");
  EXPECT_EQ(short_duration(9999), "9999s");
  EXPECT_EQ(short_duration(10'000), "2.78h");
  EXPECT_EQ(short_duration(359'000), "99.7h");
  EXPECT_EQ(short_duration(1'166'400), "13.5d");
  EXPECT_EQ(short_duration(1e15), ">9999d");
}

TEST(TokensText, CountsOne) {
  EXPECT_EQ(tokens_text(0), "0 tokens");
  EXPECT_EQ(tokens_text(1), "1 token");
  EXPECT_EQ(tokens_text(8192), "8,192 tokens");
}

}  // namespace
}  // namespace tandem::planner
