#include <algorithm>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "hardware/processor.h"

namespace tandem::hardware {
namespace {

/// What /proc/cpuinfo says first under a name.
std::string first_of_cpuinfo(const std::string& name) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.starts_with(name)) return line.substr(line.find(": ") + 2);
  }
  return {};
}

TEST(Processor, HasTheNameThatTheKernelSays) {
  const auto name = first_of_cpuinfo("model name");
  ASSERT_FALSE(name.empty());
  EXPECT_EQ(processor_name("/").find(name), 0U) << processor_name("/");
}

TEST(Processor, InstructionSetsAreThoseTheKernelNames) {
  std::istringstream words(first_of_cpuinfo("flags"));
  const std::set<std::string> flags(std::istream_iterator<std::string>(words), {});
  ASSERT_FALSE(flags.empty());
  const auto sets = instruction_sets();
  for (const auto& [set, flag] :
       {std::pair{"sse4.1", "sse4_1"}, std::pair{"avx2", "avx2"}, std::pair{"avx512f", "avx512f"},
        std::pair{"avx512bw", "avx512bw"}, std::pair{"avx512dq", "avx512dq"},
        std::pair{"avx512vl", "avx512vl"}, std::pair{"avx512vnni", "avx512_vnni"},
        std::pair{"avxvnni", "avx_vnni"}, std::pair{"amx-int8", "amx_int8"}}) {
    EXPECT_EQ(std::ranges::count(sets, set), flags.count(flag)) << set;
  }
}

}  // namespace
}  // namespace tandem::hardware
