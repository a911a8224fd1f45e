#pragma once

#include <atomic>
#include <cstddef>
#include <span>
#include <vector>

namespace tandem::memory {

/// Pieces of mapped files, brought into memory about in their order, while storage reads some pieces further
/// on: neither waits for the other unless it is slower.
class ReadAhead {
 public:
  /// Pieces that are being read while one is brought.
  static constexpr std::size_t kPiecesAhead = 8;

  explicit ReadAhead(std::vector<std::span<const std::byte>> pieces);

  /// Brings piece `i` into memory; false if it cannot be read.  Any number of threads may do so at once.
  [[nodiscard]] bool bring(std::size_t i) noexcept;

 private:
  std::vector<std::span<const std::byte>> pieces_;
  std::atomic<std::size_t> begun_ = 0;  ///< pieces that storage was told of
};

}  // namespace tandem::memory
