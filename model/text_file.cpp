#include "model/text_file.h"

#include <cerrno>
#include <cstdio>
#include <fcntl.h>
#include <memory>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "model/error.h"

namespace tandem::model {
namespace {

struct Close {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

std::string reason() {
  return std::generic_category().message(errno);
}

/// Longer than any text, of which the daemon takes 8 MiB in a request: some devices have no end.
constexpr std::size_t kMostBytes = std::size_t{64} << 20;

std::string rest_of(std::FILE* file, const std::string& name) {
  std::string text;
  char piece[65536];
  while (const auto bytes = std::fread(piece, 1, sizeof piece, file)) {
    text.append(piece, bytes);
    if (text.size() > kMostBytes) throw Error(name + ": is longer than 64 MiB");
  }
  if (std::ferror(file) != 0) throw Error(name + ": cannot be read: " + reason());
  return text;
}

/// Without waiting for somebody who might open a named pipe to write; to read then waits for what comes.
std::unique_ptr<std::FILE, Close> opened(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  std::unique_ptr<std::FILE, Close> file(fd < 0 ? nullptr : ::fdopen(fd, "rb"));
  if (!file || ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) & ~O_NONBLOCK) < 0)
    throw Error(path.string() + ": cannot be opened: " + reason());
  return file;
}

bool is_pipe(std::FILE* file) {
  struct stat status {};
  return ::fstat(::fileno(file), &status) == 0 && S_ISFIFO(status.st_mode);
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  const auto file = opened(path);
  auto text = rest_of(file.get(), path.string());
  if (text.empty() && is_pipe(file.get())) throw Error(path.string() + ": is a pipe that nobody writes to");
  return text;
}

std::string read_standard_input() {
  return rest_of(stdin, "standard input");
}

}  // namespace tandem::model
