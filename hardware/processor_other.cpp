// Architectures of which nothing is known.

#include <sys/utsname.h>

#include "hardware/processor.h"

namespace tandem::hardware {

std::string processor_name(const std::filesystem::path& /*root*/) {
  utsname names{};
  return ::uname(&names) == 0 ? names.machine : "";
}

std::vector<std::string> instruction_sets() {
  return {};
}

}  // namespace tandem::hardware
