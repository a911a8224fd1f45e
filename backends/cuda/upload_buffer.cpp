#include "backends/cuda/upload_buffer.h"

#include <algorithm>
#include <system_error>

namespace tandem::cuda {
namespace {

constexpr unsigned kMostThreads = 4;

/// Less is not worth waking others for.
constexpr std::uint64_t kBytesWorthThreads = std::uint64_t{128} << 10;

/// Halves begin at multiples of this.
constexpr std::uint64_t kHalfAlignment = 64;

}  // namespace

UploadBuffer::UploadBuffer(std::byte* pinned, std::uint64_t bytes)
    : half_bytes_(bytes / 2 / kHalfAlignment * kHalfAlignment) {
  halves_[0].pinned = pinned;
  halves_[1].pinned = pinned + half_bytes_;
  const unsigned threads = std::clamp(std::thread::hardware_concurrency(), 1u, kMostThreads);
  threads_.reserve(kMostThreads);
  try {
    for (unsigned part = 1; part < threads; ++part) threads_.emplace_back([this, part] { work(part); });
  } catch (const std::system_error&) {
    return;  // the system has no more threads: those that there are do it
  }
}

UploadBuffer::~UploadBuffer() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    fill_part_ = nullptr;
    ++round_;
  }
  changed_.notify_all();
  for (auto& thread : threads_) thread.join();
}

void UploadBuffer::send(Stream& stream, std::byte* to, std::uint64_t n, std::uint64_t item_bytes,
                        const Fill& fill) {
  Half& half = halves_[next_];
  half.copied.synchronise();
  const std::uint64_t parts = n * item_bytes < kBytesWorthThreads ? 1 : threads_.size() + 1;
  if (parts == 1) {
    fill(0, n, half.pinned);
  } else {
    fill_together([&](unsigned part) {
      const std::uint64_t first = n * part / parts;
      const std::uint64_t end = n * (part + 1) / parts;
      fill(first, end - first, half.pinned + first * item_bytes);
    });
  }
  stream.copy_to_device(to, half.pinned, n * item_bytes);
  half.copied = stream.record();
  next_ = 1 - next_;
}

void UploadBuffer::fill_together(const std::function<void(unsigned part)>& fill_part) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    fill_part_ = &fill_part;
    busy_ = static_cast<unsigned>(threads_.size());
    ++round_;
  }
  changed_.notify_all();
  fill_part(0);
  std::unique_lock<std::mutex> lock(mutex_);
  changed_.wait(lock, [this] { return busy_ == 0; });
}

void UploadBuffer::work(unsigned part) {
  std::unique_lock<std::mutex> lock(mutex_);
  for (std::uint64_t done = 0;;) {
    changed_.wait(lock, [&] { return round_ != done; });
    done = round_;
    if (fill_part_ == nullptr) return;
    const auto& fill_part = *fill_part_;
    lock.unlock();
    fill_part(part);
    lock.lock();
    if (--busy_ == 0) changed_.notify_all();
  }
}

}  // namespace tandem::cuda
