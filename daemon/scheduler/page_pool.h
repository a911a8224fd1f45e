#pragma once

#include <cstdint>
#include <vector>

namespace tandem::scheduler {

/// The free list of the pages of global KV.  Lowest free page first, so that runs are reproducible.
class PagePool {
 public:
  explicit PagePool(std::uint64_t pages);

  /// Appends `n` pages to `table`, or changes nothing and returns false if fewer are free.
  bool take(std::uint64_t n, std::vector<std::uint32_t>& table);

  /// Gives all pages of `table` back and empties it.
  void give_back(std::vector<std::uint32_t>& table);

  [[nodiscard]] std::uint64_t free_pages() const noexcept { return free_.size(); }

 private:
  std::vector<std::uint32_t> free_;  ///< a min-heap
};

}  // namespace tandem::scheduler
