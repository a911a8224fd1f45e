#include <gtest/gtest.h>

#include "hardware/processor.h"

namespace tandem::hardware {
namespace {

TEST(Processor, HasAName) {
  EXPECT_FALSE(processor_name("/").empty());
}

}  // namespace
}  // namespace tandem::hardware
