#include "backends/cpu/half.h"

#include <bit>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

namespace tandem::cpu {
namespace {

/// Value of a half by the definition of the format.
double half_value(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const double mantissa = half & 1023;
  const double sign = (half & 0x8000) != 0 ? -1.0 : 1.0;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

TEST(Half, ToFloatIsExactForEveryFinitePattern) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(half_to_float(half), half_value(half)) << bits;
    ASSERT_EQ(std::signbit(half_to_float(half)), (half & 0x8000) != 0) << bits;
  }
  EXPECT_EQ(half_to_float(0x7c00), std::numeric_limits<float>::infinity());
  EXPECT_EQ(half_to_float(0xfc00), -std::numeric_limits<float>::infinity());
  EXPECT_TRUE(std::isnan(half_to_float(0x7e00)));
}

TEST(Half, FromFloatInvertsToFloat) {
  for (unsigned bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<std::uint16_t>(bits);
    if ((half & 0x7c00) == 0x7c00) continue;
    ASSERT_EQ(float_to_half(half_to_float(half)), half);
  }
}

TEST(Half, FromFloatRoundsToNearestEven) {
  // Halfway between neighbours goes to the even one, a hair more or less to the nearer.
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    const double low = half_value(static_cast<std::uint16_t>(bits));
    const double high = half_value(static_cast<std::uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);
    ASSERT_EQ(float_to_half(middle), bits % 2 == 0 ? bits : bits + 1);
    ASSERT_EQ(float_to_half(std::nextafter(middle, 1e9f)), bits + 1);
    ASSERT_EQ(float_to_half(std::nextafter(middle, -1e9f)), bits);
  }
}

TEST(Half, FromFloatSaturates) {
  EXPECT_EQ(float_to_half(65504.0f), 0x7bff);
  EXPECT_EQ(float_to_half(65520.0f), 0x7bff);
  EXPECT_EQ(float_to_half(1e30f), 0x7bff);
  EXPECT_EQ(float_to_half(-std::numeric_limits<float>::infinity()), 0xfbff);
  EXPECT_TRUE(std::isnan(half_to_float(float_to_half(std::numeric_limits<float>::quiet_NaN()))));
}

}  // namespace
}  // namespace tandem::cpu
