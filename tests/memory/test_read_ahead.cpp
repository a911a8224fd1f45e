#include <atomic>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "memory/pages.h"
#include "memory/read_ahead.h"
#include "model/mapped_file.h"
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

TEST(ReadAhead, APieceIsInMemoryOnceItWasAskedFor) {
  const Mapped mapped;
  ReadAhead ahead(mapped.pieces());
  for (std::size_t i = 0; i < kPieces; ++i) {
    ASSERT_TRUE(ahead.bring(i));
    EXPECT_GE(test_support::mapped_resident_bytes(mapped.path), (i + 1) * kPieceBytes);
  }
}

TEST(ReadAhead, WhatIsAheadTakesNoMemoryOfTheProcess) {
  const Mapped mapped;
  const auto pieces = mapped.pieces();
  ReadAhead ahead(pieces);
  for (std::size_t i = 0; i < kPieces; ++i) {
    ASSERT_TRUE(ahead.bring(i));
    release(pieces[i]);
    EXPECT_LE(test_support::mapped_resident_bytes(mapped.path), kPieceBytes);
  }
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), 0U);
}

TEST(ReadAhead, SeveralThreadsBringPiecesAtOnce) {
  const Mapped mapped;
  ReadAhead ahead(mapped.pieces());
  std::atomic<std::size_t> next = 0;
  std::atomic<std::size_t> brought = 0;
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        for (auto i = next++; i < kPieces; i = next++) brought += ahead.bring(i) ? 1 : 0;
      });
    }
  }
  EXPECT_EQ(brought, kPieces);
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), kPieces * kPieceBytes);
}

TEST(ReadAhead, AFileThatEndsEarlierThanItDidIsSaidToBeUnreadable) {
  const Mapped mapped;
  std::filesystem::resize_file(mapped.path, 3 * kPieceBytes);
  ReadAhead ahead(mapped.pieces());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(ahead.bring(i));
  EXPECT_FALSE(ahead.bring(3));
  EXPECT_FALSE(ahead.bring(4));
  EXPECT_TRUE(ahead.bring(2)) << "it is there";
}

}  // namespace
}  // namespace tandem::memory
