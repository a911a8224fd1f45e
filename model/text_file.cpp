#include "model/text_file.h"

#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "model/error.h"

namespace tandem::model {
namespace {

struct Close {
  void operator()(std::FILE* file) const noexcept { std::fclose(file); }
};

std::string reason() {
  return std::generic_category().message(errno);
}

std::string rest_of(std::FILE* file, const std::string& name) {
  std::string text;
  char piece[65536];
  while (const auto bytes = std::fread(piece, 1, sizeof piece, file)) text.append(piece, bytes);
  if (std::ferror(file) != 0) throw Error(name + ": cannot be read: " + reason());
  return text;
}

}  // namespace

std::string read_text_file(const std::filesystem::path& path) {
  const std::unique_ptr<std::FILE, Close> file(std::fopen(path.c_str(), "rbe"));
  if (!file) throw Error(path.string() + ": cannot be opened: " + reason());
  return rest_of(file.get(), path.string());
}

std::string read_standard_input() {
  return rest_of(stdin, "standard input");
}

}  // namespace tandem::model
