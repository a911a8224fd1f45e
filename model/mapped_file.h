#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace tandem::model {

/// A read-only mapping of one file.  Pages are read from disk when first touched.
class MappedFile {
 public:
  /// Throws UnreadableFile with the path and the reason if the file cannot be opened, mapped or is not a
  /// regular file.
  explicit MappedFile(const std::filesystem::path& path);
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;
  MappedFile(const MappedFile&) = delete;
  MappedFile& operator=(const MappedFile&) = delete;
  ~MappedFile();

  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace tandem::model
