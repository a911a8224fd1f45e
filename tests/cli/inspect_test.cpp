// `tandem inspect`: metadata, layers and tensors of a model.

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/cli/run_tandem.h"
#include "tests/support/temp_dir.h"

namespace tandem::cli_test {
namespace {

using nlohmann::json;

TEST(TandemInspect, ShowsThePublishedModel) {
  const auto run = run_tandem("inspect catalogue:gemma4-12b-q4_k_m");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  for (const auto* text :
       {"40 sliding: 16 heads, 8 KV heads of 256, window 1,024, FFN 15,360",
        "8 global: 16 heads, 1 KV head of 512 without V projection, FFN 15,360", "5 11 17 23 29 35 41 47",
        "F32        338", "Q4_K       284", "Q6_K        45", "gemma4.block_count"}) {
    EXPECT_NE(run.out.find(text), std::string::npos) << text << " is not in\n" << run.out;
  }
}

TEST(TandemInspect, PrintsJson) {
  const auto run = run_tandem("inspect --json catalogue:gemma4-12b-qat-q4_0");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  const auto model = json::parse(run.out);
  EXPECT_EQ(model["tensors"].size(), 667U);
  EXPECT_EQ(model["tensor_bytes"], 6'960'054'464);
  EXPECT_EQ(model["layers"].size(), 48U);
  EXPECT_EQ(model["layers"][5]["has_v"], false);
  EXPECT_EQ(model["layers"][5]["kv_heads"], 1);
  EXPECT_EQ(model["metadata"]["gemma4.block_count"], 48);
  EXPECT_EQ(model["metadata"]["gemma4.attention.head_count_kv"]["count"], 48);
  std::uint64_t bytes = 0;
  for (const auto& tensor : model["tensors"]) bytes += tensor["size_bytes"].get<std::uint64_t>();
  EXPECT_EQ(bytes, 6'960'054'464U);
}

TEST(TandemInspect, StaysWithin80ColumnsAndPrintsNoControlCharacters) {
  const auto run =
      run_tandem("inspect " TANDEM_SOURCE_DIR "/tests/reference/data/gemma4_8l.gguf | tail -n +2");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  std::size_t columns = 0;
  for (const unsigned char c : run.out) {
    columns = c == '\n' ? 0 : columns + ((c & 0xc0) == 0x80 ? 0 : 1);
    ASSERT_LE(columns, 80U);
    ASSERT_TRUE(c == '\n' || c >= 0x20);
  }
}

TEST(TandemInspect, ExitsWith3OnABadModel) {
  const test_support::TempDir directory;
  EXPECT_EQ(run_tandem("inspect " + directory.write("empty.gguf", "").string()).exit_code, 3);
}

}  // namespace
}  // namespace tandem::cli_test
