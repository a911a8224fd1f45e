#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
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
    ASSERT_TRUE(ahead.wait_for(i));
    EXPECT_GE(test_support::mapped_resident_bytes(mapped.path), (i + 1) * kPieceBytes);
  }
}

TEST(ReadAhead, KeepsNoMoreInMemoryThanItIsAhead) {
  const Mapped mapped;
  const auto pieces = mapped.pieces();
  ReadAhead ahead(pieces);
  for (std::size_t i = 0; i < kPieces; ++i) {
    ASSERT_TRUE(ahead.wait_for(i));
    release(pieces[i]);
    EXPECT_LE(test_support::mapped_resident_bytes(mapped.path), (ReadAhead::kPiecesAhead + 1) * kPieceBytes);
  }
  EXPECT_EQ(test_support::mapped_resident_bytes(mapped.path), 0U);
}

TEST(ReadAhead, AFileThatEndsEarlierThanItDidIsSaidToBeUnreadable) {
  const Mapped mapped;
  std::filesystem::resize_file(mapped.path, 3 * kPieceBytes);
  ReadAhead ahead(mapped.pieces());
  for (std::size_t i = 0; i < 3; ++i) EXPECT_TRUE(ahead.wait_for(i));
  EXPECT_FALSE(ahead.wait_for(3));
  EXPECT_FALSE(ahead.wait_for(4));
  EXPECT_TRUE(ahead.wait_for(2)) << "it is there";
}

TEST(ReadAhead, MayBeGivenUpAtAnyTime) {
  const Mapped mapped;
  for (std::size_t asked = 0; asked < 4; ++asked) {
    ReadAhead ahead(mapped.pieces());
    for (std::size_t i = 0; i < asked; ++i) EXPECT_TRUE(ahead.wait_for(i));
  }
}

}  // namespace
}  // namespace tandem::memory
