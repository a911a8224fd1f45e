#include "planner/batch_rows.h"

#include <array>

#include <gtest/gtest.h>

namespace tandem::planner {
namespace {

Workload workload_of(std::uint32_t sequences, std::uint32_t micro_batch, std::uint64_t max_seq_len) {
  Workload workload;
  workload.sequences = sequences;
  workload.micro_batch = micro_batch;
  workload.max_seq_len = max_seq_len;
  return workload;
}

std::array<std::uint32_t, 3> counts(const RowCounts& most) {
  return {most.rows, most.ffn_rows, most.logit_rows};
}

using Counts = std::array<std::uint32_t, 3>;

TEST(BatchRows, AreThoseOfAMicroBatchWhereChunksFillIt) {
  EXPECT_EQ(counts(most_rows(workload_of(1, 512, 8192))), (Counts{512, 512, 8}));
  EXPECT_EQ(counts(most_rows(workload_of(4, 512, 8192))), (Counts{512, 512, 8}));
  EXPECT_EQ(counts(most_rows(workload_of(20, 512, 8192))), (Counts{512, 512, 20}));
}

TEST(BatchRows, AreNoMoreThanEverySequenceHasChunksFor) {
  EXPECT_EQ(most_rows(workload_of(1, 500, 8192)).rows, 480U);  // a chunk of whole 32s
  EXPECT_EQ(most_rows(workload_of(2, 500, 8192)).rows, 500U);
  EXPECT_EQ(most_rows(workload_of(1, 512, 100)).rows, 100U);
  EXPECT_EQ(most_rows(workload_of(3, 512, 100)).rows, 300U);
  EXPECT_EQ(counts(most_rows(workload_of(1, 512, 5))), (Counts{5, 5, 5}));
}

TEST(BatchRows, AreRoomForWhatDecodesWhereChunksAreShorter) {
  auto workload = workload_of(1, 41, 8192);
  workload.draft_rows = 40;
  EXPECT_EQ(counts(most_rows(workload)), (Counts{41, 41, 41}));  // chunks have 32
}

TEST(BatchRows, OfFfnHalvesEndBeforeChunksThatAreStreamed) {
  auto workload = workload_of(4, 512, 8192);
  workload.stream_rows = 24;
  EXPECT_EQ(counts(most_rows_beside_streams(workload)), (Counts{512, 4 * 23, 8}));
  workload.draft_rows = 30;
  EXPECT_EQ(counts(most_rows_beside_streams(workload)), (Counts{512, 4 * 31, 4 * 31}));
  workload.draft_rows = 0;
  workload.stream_rows = 300;
  EXPECT_EQ(most_rows_beside_streams(workload).ffn_rows, 512U);
  workload.stream_rows = 1;
  EXPECT_EQ(most_rows_beside_streams(workload).ffn_rows, 4U);  // newest tokens stay
}

TEST(BatchRows, AreAsAlwaysWhereNoChunkIsLongEnoughToStream) {
  auto workload = workload_of(4, 512, 8192);
  EXPECT_FALSE(may_stream(workload));
  workload.stream_rows = 481;
  EXPECT_FALSE(may_stream(workload));
  EXPECT_EQ(most_rows_beside_streams(workload).ffn_rows, 512U);
  workload.stream_rows = 480;
  EXPECT_TRUE(may_stream(workload));
}

TEST(BatchRows, WithLogitsAreThoseOfEverySequenceAndAtLeastEight) {
  Workload workload;
  EXPECT_EQ(logit_rows(workload), 8U);
  workload.sequences = 20;
  EXPECT_EQ(logit_rows(workload), 20U);
  workload.draft_rows = 4;
  EXPECT_EQ(logit_rows(workload), 100U);
  EXPECT_EQ(logit_rows(workload_of(1, 3, 8192)), 3U);
}

TEST(BatchRows, ThatTokensAreChosenFromAreTheNewestWithTheirDrafts) {
  Workload workload;
  workload.sequences = 3;
  workload.draft_rows = 2;
  EXPECT_EQ(choice_rows(workload), 9U);
  workload.micro_batch = 8;
  EXPECT_EQ(choice_rows(workload), 8U);
}

}  // namespace
}  // namespace tandem::planner
