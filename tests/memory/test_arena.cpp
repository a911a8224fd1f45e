#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

#include <gtest/gtest.h>

#include "memory/arena.h"
#include "memory/errors.h"

namespace tandem::memory {
namespace {

using planner::Device;
using planner::Purpose;

TEST(Arena, HandsOutZeroedAlignedPiecesUntilItIsUsedUp) {
  auto arena = Arena::host({Device::cpu, Purpose::kv, 64 + 128 + 64});
  const auto a = arena.take(3);
  const auto b = arena.take(65);
  const auto c = arena.take(64);
  EXPECT_EQ(b.data() - a.data(), 64);
  EXPECT_EQ(c.data() - b.data(), 128);
  for (const auto piece : {a, b, c}) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(piece.data()) % 64, 0U);
    EXPECT_TRUE(std::ranges::all_of(piece, [](std::byte byte) { return byte == std::byte{0}; }));
  }
  EXPECT_EQ(arena.ledger_line(), (LedgerLine{Device::cpu, Purpose::kv, 256, 256, 256}));
  EXPECT_THROW(arena.take(1), PlanViolated);
  EXPECT_THROW(arena.take(~std::uint64_t{0}), PlanViolated);
}

TEST(Arena, AroundAFileCountsWhatLiesThere) {
  auto arena = Arena::around_file({Device::cpu, Purpose::weights, 1000}, 128);
  EXPECT_FALSE(arena.ledger_line().balances());
  arena.adopt(800);
  arena.adopt(72);
  EXPECT_TRUE(arena.ledger_line().balances());
  EXPECT_EQ(arena.ledger_line().used_bytes, 872U);
  EXPECT_THROW(arena.adopt(1), PlanViolated);
  arena.take(128);
  EXPECT_EQ(arena.ledger_line().used_bytes, 1000U);
  EXPECT_THROW(Arena::around_file({Device::cpu, Purpose::weights, 100}, 101), PlanViolated);
}

TEST(Arena, MoreThanTheSystemHasIsATypedError) {
  constexpr std::uint64_t kBeyondAnyAddressSpace = 1ULL << 60;
  EXPECT_THROW(Arena::host({Device::cpu, Purpose::kv, kBeyondAnyAddressSpace}), OutOfMemory);
}

TEST(Arena, PrefaultedMemoryIsThereAndStillZero) {
  auto arena = Arena::host({Device::cpu, Purpose::activations, 3 << 20});
  const auto piece = arena.take(3 << 20);
  piece[12345] = std::byte{7};
  arena.prefault(3);
  EXPECT_EQ(piece[12345], std::byte{7});
  EXPECT_EQ(std::ranges::count(piece, std::byte{0}), (3 << 20) - 1);
}

/// Whether the kernel was asked for huge pages at `at`.
bool is_for_huge_pages(const std::byte* at) {
  std::ifstream maps("/proc/self/smaps");
  bool found = false;
  for (std::string line; std::getline(maps, line);) {
    const auto dash = line.find('-');
    if (dash < line.find(' ')) {  // the beginning of a mapping: its addresses
      const auto begin = std::stoull(line, nullptr, 16),
                 end = std::stoull(line.substr(dash + 1), nullptr, 16);
      const auto address = reinterpret_cast<std::uintptr_t>(at);
      found = begin <= address && address < end;
    } else if (found && line.starts_with("VmFlags:")) {
      return (line + " ").find(" hg ") != std::string::npos;
    }
  }
  return false;
}

TEST(Arena, AsksForHugePagesWhereOneFits) {
  auto large = Arena::host({Device::cpu, Purpose::weights, 8 << 20});
  if (!std::filesystem::exists("/sys/kernel/mm/transparent_hugepage"))
    GTEST_SKIP() << "a kernel without them";
  EXPECT_TRUE(is_for_huge_pages(large.take(1).data()));
  auto small = Arena::host({Device::cpu, Purpose::activations, 1 << 20});
  EXPECT_FALSE(is_for_huge_pages(small.take(1).data()));
}

TEST(LedgerLine, AReserveBalancesWhenNothingIsTaken) {
  EXPECT_TRUE((LedgerLine{Device::cpu, Purpose::reserve, 500, 0, 0}.balances()));
  EXPECT_FALSE((LedgerLine{Device::cpu, Purpose::kv, 500, 0, 0}.balances()));
}

}  // namespace
}  // namespace tandem::memory
