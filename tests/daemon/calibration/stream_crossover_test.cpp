#include "daemon/calibration/stream_crossover.h"

#include <functional>

#include <gtest/gtest.h>

namespace tandem::calibration {
namespace {

/// Times that `seconds` gives for chunks of 8, 16 ... 512 rows.
std::vector<ChunkTime> times(const std::function<double(double rows)>& seconds) {
  std::vector<ChunkTime> chunks;
  for (std::uint32_t rows = 8; rows <= 512; rows *= 2) chunks.push_back({rows, seconds(rows)});
  return chunks;
}

// Weights take 0.03 s to the GPU, whatever the rows; the CPU takes 0.25 ms for each: 120 rows take as long.
TEST(StreamCrossover, IsWhereTransferAndProductsTakeEquallyLong) {
  const auto on_cpu = times([](double rows) { return rows * 0.25e-3; });
  const auto streamed = times([](double) { return 0.03; });
  EXPECT_NEAR(crossover_rows(on_cpu, streamed), 120, 1e-9);
}

// What crosses with each row counts as well: 0.03 + 0.05 ms a row against 0.25 ms a row are 150 rows.
TEST(StreamCrossover, CountsWhatEachRowTakesOnTheWay) {
  const auto on_cpu = times([](double rows) { return rows * 0.25e-3; });
  const auto streamed = times([](double rows) { return 0.03 + rows * 0.05e-3; });
  EXPECT_NEAR(crossover_rows(on_cpu, streamed), 150, 1e-9);
}

TEST(StreamCrossover, IsTheSmallestChunkWhereTheGpuIsAlwaysFaster) {
  EXPECT_EQ(crossover_rows(times([](double) { return 2; }), times([](double) { return 1; })), 8);
}

TEST(StreamCrossover, IsNoneWhereTheCpuIsFasterWithTheLargestChunk) {
  const auto streamed = times([](double rows) { return rows == 64 ? 0.5 : 2; });
  EXPECT_EQ(crossover_rows(times([](double) { return 1; }), streamed), 0);
  EXPECT_EQ(crossover_rows({}, streamed), 0);
  EXPECT_EQ(crossover_rows(streamed, {}), 0);
}

// One chunk that was disturbed on the CPU does not make streaming pay for smaller ones.
TEST(StreamCrossover, HoldsForAllLargerChunks) {
  auto on_cpu = times([](double rows) { return rows * 0.25e-3; });
  on_cpu[1].seconds = 1;
  EXPECT_NEAR(crossover_rows(on_cpu, times([](double) { return 0.03; })), 120, 1e-9);
}

// Where time ended early on one side, only what was measured on both counts.
TEST(StreamCrossover, CountsWhatWasMeasuredOnBoth) {
  auto on_cpu = times([](double rows) { return rows * 0.25e-3; });
  const auto streamed = times([](double) { return 0.03; });
  on_cpu.resize(4);  // to 64 rows
  EXPECT_EQ(crossover_rows(on_cpu, streamed), 0);
  on_cpu.push_back({128, 0.032});
  EXPECT_NEAR(crossover_rows(on_cpu, streamed), 120, 1e-9);
}

TEST(StreamCrossover, ChunksAreTimedOnTheCpu) {
  Pace pace({600, 1, 1, 0}, [](const std::string&, double) {});
  const auto chunks = cpu_chunk_times(pace, 2, {256, 512}, model::TensorType::q4_0, {4, 64});
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].rows, 4U);
  EXPECT_EQ(chunks[1].rows, 64U);
  for (const auto& chunk : chunks) EXPECT_GT(chunk.seconds, 0);
}

}  // namespace
}  // namespace tandem::calibration
