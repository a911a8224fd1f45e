#include "hardware/caches.h"

#include <filesystem>
#include <fstream>
#include <sched.h>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <hwloc.h>

#include "tests/support/temp_dir.h"

namespace tandem::hardware {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;

/// The folders of as many CPUs as a process can be bound to; all but the first are links to it.
class CacheFolders {
 public:
  CacheFolders() {
    std::filesystem::create_directories(cpus_ / "cpu0");
    for (int cpu = 1; cpu < CPU_SETSIZE; ++cpu) {
      std::filesystem::create_directory_symlink("cpu0", cpus_ / ("cpu" + std::to_string(cpu)));
    }
  }
  void add(const char* index, const char* level, const char* type, const char* size) const {
    const auto folder = cpus_ / "cpu0" / "cache" / index;
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "level") << level << "\n";
    std::ofstream(folder / "type") << type << "\n";
    std::ofstream(folder / "size") << size << "\n";
  }
  [[nodiscard]] std::vector<std::uint64_t> sizes() const { return data_cache_bytes(root_.path()); }

 private:
  test_support::TempDir root_;
  std::filesystem::path cpus_ = root_.path() / "sys/devices/system/cpu";
};

TEST(Caches, AreThoseThatTheKernelLists) {
  const CacheFolders folders;
  folders.add("index0", "1", "Data", "48K");
  folders.add("index1", "1", "Instruction", "32K");
  folders.add("index2", "2", "Unified", "1024K");
  folders.add("index3", "3", "Unified", "32M");
  EXPECT_THAT(folders.sizes(), ElementsAre(48 << 10, 1 << 20, 32 << 20, 0));
}

TEST(Caches, WhatMakesNoSenseIsNone) {
  const CacheFolders folders;
  folders.add("index0", "9", "Data", "48K");
  folders.add("index1", "2", "Unified", "many");
  folders.add("index2", "3", "Unified", "99999999999999999999K");
  EXPECT_THAT(folders.sizes(), Each(0));
  EXPECT_THAT(CacheFolders().sizes(), Each(0));
}

/// hwloc knows how to ask on every system.
TEST(Caches, OfThisMachineAreThoseOfHwloc) {
  hwloc_topology_t topology = nullptr;
  ASSERT_EQ(hwloc_topology_init(&topology), 0);
  ASSERT_EQ(hwloc_topology_load(topology), 0);
  const auto sizes = data_cache_bytes();
  const hwloc_obj_type_t types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE};
  for (std::size_t level = 0; level < std::size(types); ++level) {
    const auto* const cache = hwloc_get_obj_by_type(topology, types[level], 0);
    EXPECT_EQ(sizes.at(level), cache == nullptr ? 0 : cache->attr->cache.size) << "level " << level + 1;
  }
  hwloc_topology_destroy(topology);
}

}  // namespace
}  // namespace tandem::hardware
