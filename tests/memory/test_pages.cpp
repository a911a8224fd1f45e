#include <atomic>
#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "memory/pages.h"
#include "model/mapped_file.h"
#include "tests/support/page_cache.h"
#include "tests/support/process_memory.h"
#include "tests/support/temp_dir.h"

namespace tandem::memory {
namespace {

constexpr std::size_t kPieceBytes = 2 << 20;  // the kernel maps some pages around those asked for
constexpr std::size_t kPieces = 12;

using Pieces = std::vector<std::span<const std::byte>>;

struct Mapped {
  test_support::TempDir directory;
  std::filesystem::path path = directory.write("file", std::string(kPieces* kPieceBytes, 'x'));
  model::MappedFile file{path};

  [[nodiscard]] Pieces pieces() const {
    Pieces all;
    for (std::size_t i = 0; i < kPieces; ++i)
      all.push_back(file.bytes().subspan(i * kPieceBytes, kPieceBytes));
    return all;
  }
};

TEST(Pages, APieceIsInMemoryOnceItWasAskedFor) {
  const Mapped mapped;
  std::size_t asked_bytes = 0;
  for (const auto piece : mapped.pieces()) {
    ASSERT_TRUE(populate_for_reading(piece));
    EXPECT_GE(test_support::mapped_resident_bytes(mapped.path), asked_bytes += piece.size());
  }
}

TEST(Pages, WhatIsReleasedTakesNoMemoryOfTheProcess) {
  const Mapped mapped;
  for (const auto piece : mapped.pieces()) {
    ASSERT_TRUE(populate_for_reading(piece));
    release(piece);
    EXPECT_LE(test_support::mapped_resident_bytes(mapped.path), kPieceBytes);
  }
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), 0U);
}

TEST(Pages, SeveralThreadsBringPiecesAtOnce) {
  const Mapped mapped;
  const auto pieces = mapped.pieces();
  std::atomic<std::size_t> next = 0;
  std::atomic<std::size_t> brought = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (auto i = next++; i < kPieces; i = next++) brought += populate_for_reading(pieces[i]) ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(brought, kPieces);
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), kPieces * kPieceBytes);
}

TEST(Pages, AFileThatEndsEarlierThanItDidIsNeitherCachedNorReadableThere) {
  const Mapped mapped;
  std::filesystem::resize_file(mapped.path, 3 * kPieceBytes);
  const auto pieces = mapped.pieces();
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(populate_for_reading(pieces[i]));
  for (const std::size_t i : {3, 4}) {
    EXPECT_FALSE(is_cached(pieces[i]));
    EXPECT_FALSE(populate_for_reading(pieces[i]));
  }
  EXPECT_TRUE(populate_for_reading(pieces[2])) << "it is there";
  EXPECT_TRUE(is_cached(pieces[2]));
  EXPECT_FALSE(is_cached(mapped.file.bytes())) << "part of it";
}

TEST(Pages, WhatIsMappedIsCachedAndWhatLeftThePageCacheIsNot) {
  const Mapped mapped;
  test_support::leave_page_cache(mapped.path);
  if (is_cached(mapped.file.bytes())) GTEST_SKIP() << "files live in memory here";
  const auto pieces = mapped.pieces();
  EXPECT_FALSE(is_cached(pieces[5]));
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), 0U) << "asking maps nothing";
  ASSERT_TRUE(populate_for_reading(pieces[5]));
  EXPECT_TRUE(is_cached(pieces[5]));
  EXPECT_TRUE(is_cached(pieces[5].subspan(1000, 3)));
}

}  // namespace
}  // namespace tandem::memory
