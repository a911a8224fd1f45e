#include "tests/cli/run_tandem.h"

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <sys/wait.h>

#include "tests/support/temp_dir.h"

namespace tandem::cli_test {
namespace {

std::string read_file(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

Outcome run_shell(const std::string& command) {
  const test_support::TempDir directory;
  const auto out = directory.path() / "out";
  const auto err = directory.path() / "err";
  // Nothing that was measured of the machine the tests run on.
  const auto line = "XDG_CACHE_HOME=" + (directory.path() / "cache").string() +
                    "; export XDG_CACHE_HOME; ( " + command + " ) >" + out.string() + " 2>" + err.string() +
                    " </dev/null";
  const int status = std::system(line.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, read_file(out), read_file(err)};
}

Outcome run_tandem(const std::string& arguments) {
  return run_shell(TANDEM_BINARY_DIR "/tandem " + arguments);
}

}  // namespace tandem::cli_test
