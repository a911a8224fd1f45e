#include "backends/cpu/affinity.h"

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <sched.h>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tandem::cpu {
namespace {

using testing::ElementsAre;

/// The processors that the calling thread may run on.
std::vector<int> processors() {
  cpu_set_t set;
  EXPECT_EQ(sched_getaffinity(0, sizeof set, &set), 0);
  std::vector<int> numbers;
  for (int i = 0; i < CPU_SETSIZE; ++i) {
    if (CPU_ISSET(i, &set)) numbers.push_back(i);
  }
  return numbers;
}

/// Calls `work` on a thread of its own: what is bound stays bound.
void apart(const std::function<void()>& work) {
  std::thread(work).join();
}

/// Lets hwloc describe another machine, as long as it lives.
class Machine {
 public:
  explicit Machine(const char* description) { ::setenv("HWLOC_SYNTHETIC", description, 1); }
  ~Machine() { ::unsetenv("HWLOC_SYNTHETIC"); }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;
};

TEST(Cores, KeepAThreadAndThoseItStartsWithATeam) {
  const auto all = processors();
  for (const unsigned threads : {1U, 2U, 1000U}) {
    std::vector<int> of_members;
    for (unsigned i = 0; i < std::min(threads, Cores().count()); ++i) {
      apart([&] {
        ASSERT_TRUE(Cores().pin_this_thread(i));
        of_members.push_back(processors().at(0));
      });
    }
    apart([&] {
      ASSERT_TRUE(Cores().keep_this_thread_with_team(threads));
      const auto kept = processors();
      EXPECT_THAT(of_members, testing::IsSubsetOf(kept));
      EXPECT_LE(kept.size(), threads);
      apart([&] { EXPECT_EQ(processors(), kept); });
    });
  }
  EXPECT_EQ(processors(), all);
}

TEST(Cores, KnowTheNodesOfATeam) {
  const Machine machine("package:2 [numa] core:4 pu:2");
  const Cores cores;
  EXPECT_THAT(cores.nodes_of_team(1), ElementsAre(0));
  EXPECT_THAT(cores.nodes_of_team(4), ElementsAre(0));
  EXPECT_THAT(cores.nodes_of_team(5), ElementsAre(0, 1));
  EXPECT_THAT(cores.nodes_of_team(8), ElementsAre(0, 1));
  EXPECT_THAT(cores.nodes_of_team(9), ElementsAre(0, 1)) << "more threads than cores";
}

TEST(Cores, FillOneSocketBeforeTheNext) {
  const Machine machine("package:2 [numa] core:3 pu:2");
  const Cores cores;
  EXPECT_EQ(cores.of_first_socket(), std::min(3U, cores.count()));
  EXPECT_THAT(cores.nodes_of_team(3), ElementsAre(0));
  EXPECT_THAT(cores.nodes_of_team(4), ElementsAre(0, 1));
}

TEST(Cores, OfOneSocketAreAllOnTheFirst) {
  const Machine machine("package:1 die:2 [numa] core:2 pu:2");
  EXPECT_EQ(Cores().of_first_socket(), Cores().count());
}

TEST(Cores, OfOneNodeSpreadNoMemory) {
  const Machine machine("package:1 [numa] core:4 pu:2");
  const Cores cores;
  EXPECT_THAT(cores.nodes_of_team(4), ElementsAre(0));
  apart([&] { EXPECT_FALSE(cores.spread_memory_over_team(4)); });
}

TEST(Cores, WithSeveralNodesInAPackageAreNextToTheirOwn) {
  const Machine machine("package:1 die:2 [numa] core:2 pu:1");
  const Cores cores;
  EXPECT_THAT(cores.nodes_of_team(2), ElementsAre(0));
  EXPECT_THAT(cores.nodes_of_team(3), ElementsAre(0, 1));
}

}  // namespace
}  // namespace tandem::cpu
