#include "memory/read_ahead.h"

#include <algorithm>
#include <utility>

#include "memory/pages.h"

namespace tandem::memory {

ReadAhead::ReadAhead(std::vector<std::span<const std::byte>> pieces)
    : pieces_(std::move(pieces)), thread_([this] { work(); }) {}

ReadAhead::~ReadAhead() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

bool ReadAhead::wait_for(std::size_t i) {
  std::unique_lock lock(mutex_);
  asked_ = std::max(asked_, i + 1);
  changed_.notify_all();
  changed_.wait(lock, [this, i] { return there_ > i || failed_; });
  return there_ > i;
}

void ReadAhead::work() {
  for (std::size_t i = 0; i < kPiecesAhead && i < pieces_.size(); ++i) begin_reading(pieces_[i]);
  std::unique_lock lock(mutex_);
  while (there_ < pieces_.size() && !failed_) {
    changed_.wait(lock, [this] { return stopping_ || there_ < asked_ + kPiecesAhead; });
    if (stopping_) return;
    const auto i = there_;
    lock.unlock();
    if (i + kPiecesAhead < pieces_.size()) begin_reading(pieces_[i + kPiecesAhead]);
    const bool read = populate_for_reading(pieces_[i]);
    lock.lock();
    if (read) {
      ++there_;
    } else {
      failed_ = true;
    }
    changed_.notify_all();
  }
}

}  // namespace tandem::memory
