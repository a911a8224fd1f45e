#include "model/recycled_memory.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <memory_resource>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace tandem::model {
namespace {

/// Stands in for the default resource, and counts what is asked of it.
class Counted final : public std::pmr::memory_resource {
 public:
  Counted() : before_(std::pmr::set_default_resource(this)) {}
  Counted(const Counted&) = delete;
  Counted& operator=(const Counted&) = delete;
  ~Counted() override { std::pmr::set_default_resource(before_); }

  [[nodiscard]] std::size_t taken() const noexcept { return taken_; }
  [[nodiscard]] std::size_t held() const noexcept { return held_; }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    ++taken_;
    ++held_;
    return std::pmr::new_delete_resource()->allocate(bytes, alignment);
  }
  void do_deallocate(void* at, std::size_t bytes, std::size_t alignment) override {
    --held_;
    std::pmr::new_delete_resource()->deallocate(at, bytes, alignment);
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override {
    return this == &other;
  }

  std::pmr::memory_resource* const before_;
  std::size_t taken_ = 0;
  std::size_t held_ = 0;
};

TEST(RecycledMemory, PiecesOfAllSizesKeepWhatIsWrittenToThem) {
  RecycledMemory memory(1 << 20);
  std::mt19937 random(1);
  std::multimap<std::size_t, std::pair<unsigned char*, unsigned char>> held;  // by size: where, what is there
  for (int step = 0; step < 20'000; ++step) {
    if (held.size() > 60 || (!held.empty() && random() % 2 == 0)) {
      auto piece = held.begin();
      std::advance(piece, static_cast<std::ptrdiff_t>(random() % held.size()));
      const auto [at, filler] = piece->second;
      for (std::size_t i = 0; i < piece->first; ++i) ASSERT_EQ(at[i], filler);
      memory.deallocate(at, piece->first);
      held.erase(piece);
      continue;
    }
    const std::size_t bytes = random() % 3 == 0 ? random() % 100 : random() % 40'000;
    auto* const at = static_cast<unsigned char*>(memory.allocate(bytes));
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(at) % alignof(std::max_align_t), 0U);
    const auto filler = static_cast<unsigned char>(random());
    std::memset(at, filler, bytes);
    held.emplace(bytes, std::pair(at, filler));
  }
  for (const auto& [bytes, piece] : held) memory.deallocate(piece.first, bytes);
}

TEST(RecycledMemory, WhatWasGivenBackIsUsedAgain) {
  const Counted others;
  RecycledMemory memory(100'000);
  for (int round = 0; round < 1000; ++round) {
    auto* const large = memory.allocate(40'000);
    auto* const small = memory.allocate(24);
    memory.deallocate(large, 40'000);
    memory.deallocate(small, 24);
  }
  EXPECT_EQ(others.taken(), 0U);
}

TEST(RecycledMemory, ServesOneSizeAfterTheOther) {
  const Counted others;
  constexpr std::size_t kRoom = 100'032;  // no power of two
  RecycledMemory memory(kRoom);
  std::mt19937 random(2);
  for (const std::size_t bytes : {64U, 32'768U, 100U, 5000U, 65'536U, 1U, 12'345U}) {
    // All that there is room for, given back in any order.
    std::vector<void*> pieces;
    while (others.held() == 0) pieces.push_back(memory.allocate(bytes));
    memory.deallocate(pieces.back(), bytes);
    pieces.pop_back();
    EXPECT_GE(2 * std::max(bytes, std::size_t{64}) * pieces.size(), kRoom / 3) << bytes;
    std::ranges::shuffle(pieces, random);
    for (auto* const piece : pieces) memory.deallocate(piece, bytes);
  }
  const auto before = others.taken();
  for (int round = 0; round < 100; ++round) {
    std::vector<std::pair<void*, std::size_t>> pieces;
    for (std::size_t taken = 0; taken < kRoom / 4; taken += pieces.back().second) {
      const std::size_t bytes = 1 + random() % (round % 2 == 0 ? 100 : 20'000);
      pieces.emplace_back(memory.allocate(bytes), bytes);
    }
    std::ranges::shuffle(pieces, random);
    for (const auto& [at, bytes] : pieces) memory.deallocate(at, bytes);
    memory.deallocate(memory.allocate(65'536), 65'536);
  }
  EXPECT_EQ(others.taken(), before);
}

TEST(RecycledMemory, WhatHasNoRoomComesFromElsewhere) {
  const Counted others;
  RecycledMemory memory(1000);
  std::vector<void*> pieces;
  pieces.reserve(10);
  while (pieces.size() < 10) pieces.push_back(memory.allocate(200));
  EXPECT_EQ(others.taken(), 7U) << "256 bytes each have room three times";
  auto* const aligned = memory.allocate(64, 4096);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(aligned) % 4096, 0U);
  memory.deallocate(aligned, 64, 4096);
  for (auto* const piece : pieces) memory.deallocate(piece, 200);
  EXPECT_EQ(others.held(), 0U);
}

TEST(RecycledMemory, TakesSeveralThreads) {
  RecycledMemory memory(1 << 16);
  std::vector<std::jthread> threads;
  for (unsigned char t = 1; t <= 4; ++t) {
    threads.emplace_back([&memory, t] {
      for (int round = 0; round < 2000; ++round) {
        auto* const at = static_cast<unsigned char*>(memory.allocate(1000));
        std::memset(at, t, 1000);
        for (int i = 0; i < 1000; ++i) ASSERT_EQ(at[i], t);
        memory.deallocate(at, 1000);
      }
    });
  }
}

TEST(RecycledMemory, DoesWithoutRoomThatTheSystemHasNot) {
  const Counted elsewhere;
  RecycledMemory memory(std::size_t{1} << 60);
  void* const at = memory.allocate(100);
  EXPECT_EQ(elsewhere.held(), 1U);
  std::memset(at, 1, 100);
  memory.deallocate(at, 100);
  EXPECT_EQ(elsewhere.held(), 0U);
}

}  // namespace
}  // namespace tandem::model
