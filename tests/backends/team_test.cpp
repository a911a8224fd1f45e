#include "backends/cpu/team.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <ctime>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <set>
#include <string>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backends/cpu/affinity.h"
#include "backends/cpu/shares.h"

namespace tandem::cpu {
namespace {

TEST(Shares, EveryPieceIsInOneShare) {
  for (const std::size_t n : {0U, 1U, 3U, 4U, 5U, 1000U}) {
    for (const unsigned members : {1u, 2u, 4u, 7u}) {
      std::size_t end = 0;
      for (unsigned member = 0; member < members; ++member) {
        const Share share(n, member, members);
        EXPECT_EQ(share.first, end);
        EXPECT_LE(share.end - share.first, n / members + 1);
        end = share.end;
      }
      EXPECT_EQ(end, n);
    }
  }
}

TEST(Shares, AreClaimedFromBothEnds) {
  const Share share(30, 1, 3);
  Claims claims;
  EXPECT_EQ(claims.next(share), 10U);
  EXPECT_EQ(claims.last(share), 19U);
  EXPECT_EQ(claims.last(share), 18U);
  for (std::size_t i = 11; i < 18; ++i) EXPECT_EQ(claims.next(share), i);
  EXPECT_EQ(claims.last(share), std::nullopt);
  EXPECT_EQ(claims.next(share), std::nullopt);
  claims.clear();
  EXPECT_EQ(claims.last(share), 19U);
}

TEST(Shares, NoPieceIsClaimedTwice) {
  const Share share(200'000, 0, 1);
  std::vector<std::atomic<int>> claimed(share.end);
  Claims claims;
  std::vector<std::thread> others;
  for (int other = 0; other < 3; ++other) {
    others.emplace_back([&] {
      while (const auto i = claims.last(share)) ++claimed[*i];
    });
  }
  while (const auto i = claims.next(share)) ++claimed[*i];
  for (std::thread& other : others) other.join();
  EXPECT_EQ(std::count(claimed.begin(), claimed.end(), 1), 200'000);
}

TEST(Team, EveryPieceIsDoneOnce) {
  for (const unsigned threads : {1u, 2u, 4u, 7u}) {
    Team team(threads);
    EXPECT_EQ(team.threads(), threads);
    std::vector<std::atomic<int>> done(1000);
    team.run([&](Team::Member& member) {
      for (const std::size_t n : {std::size_t{1000}, std::size_t{0}, std::size_t{1}, std::size_t{999}}) {
        member.for_each(n, [&](std::size_t i) { done[i].fetch_add(1); });
      }
    });
    EXPECT_EQ(done[0], 3);
    EXPECT_EQ(done[1], 2);
    EXPECT_EQ(done[998], 2);
    EXPECT_EQ(done[999], 1);
  }
}

TEST(Team, OneMemberGoesThroughAllPiecesInOrder) {
  Team team(1);
  std::vector<std::size_t> order;
  team.run([&](Team::Member& member) { member.for_each(5, [&](std::size_t i) { order.push_back(i); }); });
  EXPECT_THAT(order, testing::ElementsAre(0, 1, 2, 3, 4));
}

TEST(Team, OthersDoWhatASlowMemberLeaves) {
  for (const std::size_t slow_piece : {0U, 40U, 99U}) {
    Team team(4);
    std::atomic<int> done{0};
    team.run([&](Team::Member& member) {
      member.for_each(100, [&](std::size_t i) {
        while (i == slow_piece && done != 99) std::this_thread::yield();
        ++done;
      });
    });
    EXPECT_EQ(done, 100);
  }
}

TEST(Team, AnOperationSeesTheOneBefore) {
  Team team(4);
  std::vector<int> values(64, 0);
  constexpr int kRounds = 500;
  std::atomic<int> wrong{0};
  team.run([&](Team::Member& member) {
    for (int round = 0; round < kRounds; ++round) {
      member.for_each(values.size(), [&](std::size_t i) { ++values[i]; });
      member.for_each(values.size(), [&](std::size_t i) {
        if (values[values.size() - 1 - i] != round + 1) wrong.fetch_add(1);
      });
    }
  });
  EXPECT_EQ(wrong, 0);
  EXPECT_THAT(values, testing::Each(kRounds));
}

TEST(Team, RunsAgainAndAgain) {
  Team team(3);
  std::atomic<int> members{0};
  for (int i = 0; i < 200; ++i) {
    team.run([&](const Team::Member& member) { members.fetch_add(static_cast<int>(member.count())); });
  }
  EXPECT_EQ(members, 200 * 9);
}

TEST(Team, SizeIsTheCoresByDefault) {
  EXPECT_EQ(Team().threads(), Cores().count());
}

/// The processors that each member of a team may run on.
std::vector<std::vector<int>> processors_of(Team& team) {
  std::vector<std::vector<int>> all(team.threads());
  team.run([&](const Team::Member& member) {
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return;
    for (int i = 0; i < CPU_SETSIZE; ++i) {
      if (CPU_ISSET(i, &set)) all[member.index()].push_back(i);
    }
  });
  return all;
}

// Here and below in a thread of its own: pinning stays with the calling thread.
TEST(Team, PinsEachThreadToAProcessorOfItsOwn) {
  std::thread([] {
    const unsigned cores = Cores().count();
    Team team(cores);
    const auto pinning = team.pin();
    EXPECT_TRUE(pinning.worked());
    EXPECT_EQ(pinning.words(), std::to_string(cores) + " of " + std::to_string(cores) +
                                   " threads pinned to " + std::to_string(cores) + " cores");
    std::set<int> taken;
    for (const auto& processors : processors_of(team)) {
      ASSERT_THAT(processors, testing::SizeIs(1));
      EXPECT_TRUE(taken.insert(processors.front()).second) << "processor " << processors.front();
    }
  }).join();
}

/// From now on the system refuses to bind this thread, and those that it starts, to processors.
bool forbid_binding() {
  constexpr auto kNumberAt = static_cast<std::uint32_t>(offsetof(seccomp_data, nr));
  std::array<sock_filter, 4> filter{{{BPF_LD | BPF_W | BPF_ABS, 0, 0, kNumberAt},
                                     {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, __NR_sched_setaffinity},
                                     {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | EPERM},
                                     {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
  const sock_fprog program{filter.size(), filter.data()};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

TEST(Team, ThatCannotBePinnedSaysSoAndWorks) {
  bool skipped = false;
  std::thread([&] {
    if (!forbid_binding()) {
      skipped = true;
      return;
    }
    Team team(2);
    const auto pinning = team.pin();
    EXPECT_FALSE(pinning.worked());
    EXPECT_EQ(pinning.pinned, 0U);
    EXPECT_THAT(pinning.words(), testing::StartsWith("0 of 2 threads pinned to "));
    std::atomic<int> done{0};
    team.run([&](Team::Member& member) { member.for_each(100, [&](std::size_t) { ++done; }); });
    EXPECT_EQ(done, 100);
  }).join();
  if (skipped) GTEST_SKIP() << "the system takes no filter";
}

TEST(Team, MoreThreadsThanCoresShareThem) {
  std::thread([] {
    const unsigned cores = Cores().count();
    Team team(8 * cores + 1);
    EXPECT_THAT(team.pin().words(),
                testing::HasSubstr(std::to_string(cores) + " cores (more threads than cores)"));
    std::vector<int> values(100, 0);
    constexpr int kRounds = 100;
    team.run([&](Team::Member& member) {
      for (int round = 0; round < kRounds; ++round) {
        member.for_each(values.size(), [&](std::size_t i) { ++values[values.size() - 1 - i]; });
        member.for_each(values.size(), [&](std::size_t i) { ++values[i]; });
      }
    });
    EXPECT_THAT(values, testing::Each(2 * kRounds));
  }).join();
}

TEST(Team, WaitersSleep) {
  Team team(4);
  const auto cpu_seconds = [] { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; };
  double used = 0;
  team.run([&](Team::Member& member) {
    const double before = cpu_seconds();
    // One member is busy sleeping while the others wait for it at the barrier.
    member.for_each(1, [](std::size_t) { std::this_thread::sleep_for(std::chrono::milliseconds(500)); });
    if (member.index() == 0) used = cpu_seconds() - before;
  });
  EXPECT_LT(used, 0.25);  // three spinning threads would use 1.5 s
}

}  // namespace
}  // namespace tandem::cpu
