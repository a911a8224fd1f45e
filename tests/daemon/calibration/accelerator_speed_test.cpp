#include "daemon/calibration/accelerator_speed.h"

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::calibration {
namespace {

// Speeds of an emulated device mean nothing; that there are some shows that the way through the interface is
// the one a GPU would be measured on.
TEST(AcceleratorSpeed, EverythingIsMeasuredThroughTheInterface) {
  const auto accelerator =
      cuda::make_accelerator(cuda_test::open_test_device({.memory_bytes = std::size_t{64} << 20}));
  const auto memory = accelerator->memory();
  Pace pace({600, 1, 1, 0}, [](const std::string&, double) {});
  const auto speed = measure_accelerator(pace, *accelerator, little_work());
  ASSERT_EQ(speed.types.size(), 1U);
  EXPECT_EQ(speed.types[0].type, model::TensorType::q4_0);
  EXPECT_GT(speed.types[0].tops, 0);
  for (const auto read : speed.types[0].read_gb_per_s) EXPECT_GT(read, 0);
  EXPECT_GT(speed.attention_gb_per_s, 0);
  EXPECT_GT(speed.attention_tops, 0);
  EXPECT_GT(speed.launch_us + speed.stage_us, 0);
  EXPECT_GT(speed.crossing_us, 0);
  EXPECT_GT(speed.to_device_gb_per_s, 0);
  EXPECT_GT(speed.from_device_gb_per_s, 0);
  EXPECT_EQ(speed.taken_bytes, memory.total_bytes - memory.free_bytes);
  ASSERT_EQ(speed.streamed.size(), 2U);
  EXPECT_EQ(speed.streamed[0].rows, 4U);
  EXPECT_EQ(speed.streamed[1].rows, 24U);
  for (const auto& chunk : speed.streamed) EXPECT_GT(chunk.seconds, 0);
}

TEST(AcceleratorSpeed, WithoutTimeNothingIsMeasured) {
  const auto accelerator =
      cuda::make_accelerator(cuda_test::open_test_device({.memory_bytes = std::size_t{64} << 20}));
  Pace pace({0, 1, 1, 0}, [](const std::string&, double) {});
  const auto speed = measure_accelerator(pace, *accelerator, little_work());
  EXPECT_TRUE(speed.types.empty());
  EXPECT_EQ(speed.crossing_us, 0);
}

}  // namespace
}  // namespace tandem::calibration
