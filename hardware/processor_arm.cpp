#include <asm/hwcap.h>
#include <fstream>
#include <sys/auxv.h>

#include "hardware/processor.h"

namespace tandem::hardware {

/// Implementer, variant, part and revision of the first core, as a number: MIDR_EL1.
std::string processor_name(const std::filesystem::path& root) {
  std::ifstream file(root / "sys/devices/system/cpu/cpu0/regs/identification/midr_el1");
  std::string midr;
  file >> midr;
  return midr.empty() ? "AArch64" : "AArch64 " + midr;
}

std::vector<std::string> instruction_sets() {
  std::vector<std::string> sets{"asimd"};
  if ((::getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0) sets.emplace_back("asimddp");
  return sets;
}

}  // namespace tandem::hardware
