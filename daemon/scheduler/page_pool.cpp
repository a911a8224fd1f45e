#include "daemon/scheduler/page_pool.h"

#include <algorithm>
#include <functional>
#include <numeric>

namespace tandem::scheduler {

PagePool::PagePool(std::uint64_t pages) : free_(pages) {
  std::iota(free_.begin(), free_.end(), 0U);
}

bool PagePool::take(std::uint64_t n, std::vector<std::uint32_t>& table) {
  if (n > free_.size()) return false;
  table.reserve(table.size() + n);
  for (std::uint64_t i = 0; i < n; ++i) {
    std::pop_heap(free_.begin(), free_.end(), std::greater<>{});
    table.push_back(free_.back());
    free_.pop_back();
  }
  return true;
}

void PagePool::give_back(std::vector<std::uint32_t>& table) {
  for (const auto page : table) {
    free_.push_back(page);
    std::push_heap(free_.begin(), free_.end(), std::greater<>{});
  }
  table.clear();
}

}  // namespace tandem::scheduler
