#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "daemon/config.h"

namespace {

/// A file in memory that holds `data`.
std::filesystem::path file_of(const std::uint8_t* data, std::size_t size) {
  static const int file = memfd_create("config", 0);
  if (ftruncate(file, 0) != 0 || pwrite(file, data, size, 0) != static_cast<ssize_t>(size)) std::abort();
  return "/proc/self/fd/" + std::to_string(file);
}

}  // namespace

/// libFuzzer's entry: any file is a configuration or is refused by BadConfig, and so is what it says as
/// flags.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::daemon;
  try {
    const auto given = read_config_file(file_of(data, size));
    const auto none = nlohmann::json::object();
    (void)make_config(given, none);
    (void)make_config(none, given);
  } catch (const BadConfig&) {
  }
  return 0;
}
