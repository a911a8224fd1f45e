#pragma once

#include <algorithm>
#include <string>

#include <gtest/gtest.h>

#include "backends/cpu/kernel_set.h"

namespace tandem::cpu {

/// What a test of every kernel set that this machine has runs with, and how its instances are called.
inline auto every_kernel_set() {
  return testing::ValuesIn(supported_kernel_sets());
}

inline std::string name_of_set(const testing::TestParamInfo<const KernelSet*>& test) {
  std::string name = test.param->name;
  std::erase(name, '-');
  return name;
}

}  // namespace tandem::cpu
