#pragma once

#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

namespace tandem::memory {

/// Pieces of mapped files, brought into memory in their order by a thread that is some pieces ahead of
/// whoever uses them, while storage reads some more: neither waits for the other unless it is slower.
class ReadAhead {
 public:
  /// Pieces in memory that nobody asked for yet; as many again are being read.
  static constexpr std::size_t kPiecesAhead = 4;

  explicit ReadAhead(std::vector<std::span<const std::byte>> pieces);
  ReadAhead(const ReadAhead&) = delete;
  ReadAhead& operator=(const ReadAhead&) = delete;
  ~ReadAhead();

  /// Waits until piece `i` and those before it are in memory; false if one cannot be read.  Any thread may
  /// ask, and has asked for all up to `i` then.
  [[nodiscard]] bool wait_for(std::size_t i);

 private:
  void work();

  std::vector<std::span<const std::byte>> pieces_;
  std::mutex mutex_;  ///< guards all down to stopping_
  std::condition_variable changed_;
  std::size_t asked_ = 0;
  std::size_t there_ = 0;
  bool failed_ = false;  ///< at piece there_
  bool stopping_ = false;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace tandem::memory
