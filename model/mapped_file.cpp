#include "model/mapped_file.h"

#include <cerrno>
#include <fcntl.h>
#include <string>
#include <sys/mman.h>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "model/error.h"

namespace tandem::model {
namespace {

std::string system_reason() {
  return std::generic_category().message(errno);
}

[[noreturn]] void throw_errno(const std::filesystem::path& path, const char* what) {
  throw UnreadableFile(path.string() + ": " + what + ": " + system_reason());
}

}  // namespace

MappedFile::Descriptor::~Descriptor() {
  if (number_ >= 0) ::close(number_);
}

// O_NONBLOCK: a named pipe is refused below instead of waiting here for a writer.
MappedFile::MappedFile(const std::filesystem::path& path)
    : path_(path), file_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {
  if (file_.number() < 0) throw_errno(path, "cannot open");
  struct stat status {};
  if (::fstat(file_.number(), &status) != 0) throw_errno(path, "cannot stat");
  if (!S_ISREG(status.st_mode)) throw UnreadableFile(path.string() + ": not a regular file");
  written_ = status.st_mtim;
  const auto size_bytes = static_cast<std::size_t>(status.st_size);
  if (size_bytes == 0) return;  // an empty mapping is not allowed, an empty span is
  void* address = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, file_.number(), 0);
  if (address == MAP_FAILED) throw_errno(path, "cannot map");
  bytes_ = {static_cast<const std::byte*>(address), size_bytes};
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      file_(std::move(other.file_)),
      written_(other.written_),
      bytes_(std::exchange(other.bytes_, {})) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(file_, other.file_);
  std::swap(written_, other.written_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

MappedFile::~MappedFile() {
  if (!bytes_.empty()) ::munmap(const_cast<std::byte*>(bytes_.data()), bytes_.size());
}

void MappedFile::check_unchanged() const {
  struct stat status {};
  if (::fstat(file_.number(), &status) != 0) throw_errno(path_, "cannot stat");
  const auto& written = status.st_mtim;
  const bool same_time = written.tv_sec == written_.tv_sec && written.tv_nsec == written_.tv_nsec;
  if (same_time && static_cast<std::size_t>(status.st_size) == bytes_.size()) return;
  throw Error(path_.string() + ": was written to while it was read",
              "put a new file in its place with mv, never write into it");
}

void MappedFile::read(std::uint64_t offset_bytes, std::span<std::byte> to) const {
  while (!to.empty()) {
    const auto n = ::pread(file_.number(), to.data(), to.size(), static_cast<off_t>(offset_bytes));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      throw Error(path_.string() + ": cannot read from byte " + std::to_string(offset_bytes) + ": " +
                  system_reason());
    }
    if (n == 0) {
      throw Error(path_.string() + ": ends before byte " + std::to_string(offset_bytes + to.size()));
    }
    offset_bytes += static_cast<std::uint64_t>(n);
    to = to.subspan(static_cast<std::size_t>(n));
  }
}

}  // namespace tandem::model
