#include "daemon/engine/mask_finder.h"

#include <utility>

namespace tandem::engine {

MaskFinder::MaskFinder(std::size_t sequences, std::function<void()> found) : found_one_(std::move(found)) {
  wanted_.reserve(sequences);
  found_.reserve(sequences);
  thread_ = std::thread([this] { work(); });
}

MaskFinder::~MaskFinder() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_one();
  }
  thread_.join();
}

void MaskFinder::want(RequestId id, const std::shared_ptr<Generation>& generation) {
  const std::lock_guard lock(mutex_);
  std::erase_if(wanted_, [](const Wanted& wanted) { return wanted.generation.expired(); });
  wanted_.push_back({id, generation});
  changed_.notify_one();
}

std::optional<RequestId> MaskFinder::next_found() {
  const std::lock_guard lock(mutex_);
  if (found_.empty()) return std::nullopt;
  const auto id = found_.front();
  found_.erase(found_.begin());
  return id;
}

void MaskFinder::work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return stopping_ || !wanted_.empty(); });
    if (stopping_) return;
    const auto wanted = std::move(wanted_.front());
    wanted_.erase(wanted_.begin());
    lock.unlock();
    if (const auto generation = wanted.generation.lock()) generation->find_allowed();
    lock.lock();
    found_.push_back(wanted.id);
    lock.unlock();
    found_one_();
    lock.lock();
  }
}

}  // namespace tandem::engine
