#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <filesystem>
#include <span>
#include <utility>

namespace tandem::model {

/// A read-only mapping of one file, which stays open.  Pages are read from disk when first touched.
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

  /// Copies what the file has from `offset_bytes` on to `to`; no page of the mapping is touched.  Throws
  /// Error with the path and the reason if it cannot be read, or ends earlier.  Any thread may read.
  void read(std::uint64_t offset_bytes, std::span<std::byte> to) const;

  /// Throws Error where the file has been written to since it was opened, or its length is another.
  void check_unchanged() const;

 private:
  class Descriptor {
   public:
    explicit Descriptor(int number) noexcept : number_(number) {}
    Descriptor(Descriptor&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
    Descriptor& operator=(Descriptor&& other) noexcept {
      std::swap(number_, other.number_);
      return *this;
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    ~Descriptor();
    [[nodiscard]] int number() const noexcept { return number_; }

   private:
    int number_;
  };

  std::filesystem::path path_;
  Descriptor file_;
  std::timespec written_{};  ///< last, when it was opened
  std::span<const std::byte> bytes_;
};

}  // namespace tandem::model
