// `tandem` must start anywhere: no CUDA, OpenMP or device library among what it needs.

#include <gtest/gtest.h>

#include "tests/cli/run_tandem.h"

namespace tandem::cli_test {
namespace {

TEST(Linkage, TandemNeedsNoDeviceLibrary) {
  const auto run = run_shell("readelf -d " TANDEM_BINARY_DIR "/tandem");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  ASSERT_NE(run.out.find("libc.so.6"), std::string::npos) << run.out;
  for (const auto* library : {"cuda", "cublas", "nvidia", "nvrtc", "gomp", "libomp", "iomp", "hwloc",
                              "OpenCL", "vulkan", "hip", "libnuma"}) {
    EXPECT_EQ(run.out.find(library), std::string::npos) << library << " in\n" << run.out;
  }
}

}  // namespace
}  // namespace tandem::cli_test
