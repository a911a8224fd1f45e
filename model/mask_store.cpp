#include "model/mask_store.h"

#include <iterator>

namespace tandem::model {

std::size_t RuleMask::bytes() const noexcept {
  constexpr std::size_t kOfEntry = 160;  // about what the list's and the map's nodes take
  std::size_t bytes = sizeof *this + kOfEntry + few.capacity() * sizeof(TokenId);
  if (many) bytes += many->words().size_bytes();
  return bytes + (beyond.capacity() + first_beyond.capacity()) * sizeof(std::uint32_t);
}

std::uint64_t MaskStore::new_owner() {
  const std::lock_guard lock(mutex_);
  return owners_++;
}

std::shared_ptr<const RuleMask> MaskStore::find(std::uint64_t owner, std::uint32_t place) {
  const std::lock_guard lock(mutex_);
  const auto found = by_key_.find({owner, place});
  if (found == by_key_.end()) return nullptr;
  newest_first_.splice(newest_first_.begin(), newest_first_, found->second);
  return found->second->mask;
}

void MaskStore::keep(std::uint64_t owner, std::uint32_t place, std::shared_ptr<const RuleMask> mask) {
  const std::lock_guard lock(mutex_);
  const Key key{owner, place};
  if (const auto known = by_key_.find(key); known != by_key_.end()) drop(known->second);
  const auto mask_bytes = mask->bytes();
  if (mask_bytes > max_bytes_) return;
  while (bytes_ + mask_bytes > max_bytes_) drop(std::prev(newest_first_.end()));
  newest_first_.push_front({key, std::move(mask)});
  by_key_.emplace(key, newest_first_.begin());
  bytes_ += mask_bytes;
}

void MaskStore::forget(std::uint64_t owner) noexcept {
  const std::lock_guard lock(mutex_);
  auto next = by_key_.lower_bound({owner, 0});
  while (next != by_key_.end() && next->first.first == owner) drop((next++)->second);
}

std::size_t MaskStore::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

void MaskStore::drop(Position position) noexcept {
  bytes_ -= position->mask->bytes();
  by_key_.erase(position->key);
  newest_first_.erase(position);
}

}  // namespace tandem::model
