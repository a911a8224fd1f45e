#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "hardware/processor.h"
#include "tests/support/temp_dir.h"

namespace tandem::hardware {
namespace {

TEST(Processor, IsNamedByTheRegisterOfItsFirstCore) {
  const test_support::TempDir root;
  EXPECT_EQ(processor_name(root.path()), "AArch64");
  const auto folder = root.path() / "sys/devices/system/cpu/cpu0/regs/identification";
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "midr_el1") << "0x00000000410fd0c1\n";
  EXPECT_EQ(processor_name(root.path()), "AArch64 0x00000000410fd0c1");
}

TEST(Processor, AlwaysHasVectors) {
  EXPECT_THAT(instruction_sets(), ::testing::Contains("asimd"));
}

}  // namespace
}  // namespace tandem::hardware
