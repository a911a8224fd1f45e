#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace tandem::hardware {

// One definition of these for each architecture.

/// The processor's own name, family, model and stepping, or what it has of these.  `root` stands for "/".
std::string processor_name(const std::filesystem::path& root);

/// Those of its instruction sets that decide which kernels it runs (backends/cpu/supported_sets.h).
std::vector<std::string> instruction_sets();

}  // namespace tandem::hardware
