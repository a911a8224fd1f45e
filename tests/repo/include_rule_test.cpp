#include "tests/repo/include_rule.h"

#include <fstream>
#include <iterator>

#include <gtest/gtest.h>

namespace tandem::repo_test {
namespace {

TEST(IncludeRule, HoldsInTheWholeTree) {
  const std::filesystem::path root = TANDEM_SOURCE_DIR;
  const auto files = source_files(root);
  EXPECT_GT(files.size(), 100U);
  for (const auto& path : files) {
    std::ifstream file(root / path, std::ios::binary);
    const std::string source{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
    for (const auto& error : include_errors(path.generic_string(), source)) ADD_FAILURE() << error;
  }
}

TEST(IncludeRule, KnowsRoomsByTheirLongestName) {
  EXPECT_EQ(room_of("daemon/scheduler/scheduler.h"), "daemon/scheduler");
  EXPECT_EQ(room_of("daemon/main.cpp"), "daemon");
  EXPECT_EQ(room_of("backends/device.h"), "backends/device.h");
  EXPECT_EQ(room_of("backends/cpu/half.h"), "backends/cpu");
  EXPECT_EQ(room_of("models/x.h"), "");
}

struct Example {
  const char* path;
  const char* source;
  std::size_t errors;
};

class IncludeExample : public testing::TestWithParam<Example> {};

TEST_P(IncludeExample, IsJudged) {
  const auto& [path, source, errors] = GetParam();
  EXPECT_EQ(include_errors(path, source).size(), errors) << path << ": " << source;
}

INSTANTIATE_TEST_SUITE_P(
    Arrows, IncludeExample,
    testing::Values(
        Example{"planner/plan.h", "#include \"model/gguf.h\"\n", 0},
        Example{"model/gguf.h", "#include \"planner/plan.h\"\n", 1},
        Example{"model/gguf.h", "#pragma once\n#include <map>\n  #  include \"memory/arena.h\"\n", 1},
        Example{"planner/plan.h", "#include \"backends/device.h\"\n#include \"memory/arena.h\"\n", 2},
        Example{"backends/cpu/x.cpp", "#include \"backends/device.h\"\n#include \"backends/cpu/half.h\"\n",
                0},
        Example{"backends/cpu/x.cpp", "#include \"model/gguf.h\"\n", 1},
        Example{"backends/cuda/x.cu", "#include \"backends/cpu/half.h\"\n", 1},
        Example{"backends/cuda/x.cuh", "#include <nlohmann/json.hpp>\n#include <cstdint>\n", 1},
        Example{"backends/cuda/emulation/x.cpp", "#include <boost/context/fiber.hpp>\n", 0},
        Example{"backends/device.h", "#include \"backends/cpu/half.h\"\n", 1},
        Example{"ipc/service.h", "#include \"planner/plan.h\"\n", 1},
        Example{"ipc/service.h", "#include \"model/ordered_json.h\"\n#include \"model/gguf.h\"\n", 1},
        Example{"memory/arena.h", "#include \"backends/device.h\"\n", 0},
        Example{"memory/arena.h", "#include \"backends/cpu/half.h\"\n", 1},
        Example{"daemon/scheduler/x.h", "#include \"daemon/engine/engine.h\"\n", 1},
        Example{"daemon/engine/x.h", "#include \"daemon/scheduler/scheduler.h\"\n", 0},
        Example{"daemon/engine/x.h", "#include \"ipc/service.h\"\n", 1},
        Example{"daemon/main.cpp", "#include \"ipc/service.h\"\n#include \"memory/arena.h\"\n", 0},
        Example{"cli/plan.cpp", "#include \"daemon/scheduler/scheduler.h\"\n#include \"ipc/service.h\"\n", 0},
        Example{"cli/plan.cpp", "#include \"daemon/engine/engine.h\"\n#include \"memory/arena.h\"\n", 2},
        Example{"cli/plan.cpp", "#include \"gguf.h\"\n", 1}, Example{"elsewhere/x.h", "", 1},
        Example{"tests/model/x.cpp", "#include \"daemon/engine/engine.h\"\n", 0}));

}  // namespace
}  // namespace tandem::repo_test
