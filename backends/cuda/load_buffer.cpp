#include "backends/cuda/load_buffer.h"

#include <algorithm>

namespace tandem::cuda {
namespace {

/// A copy of less does not reach the rate of PCIe, and takes threads longer to ask for than the device to do.
constexpr std::uint64_t kWantedChunkBytes = std::uint64_t{512} << 10;

/// One to fill and one on its way.
constexpr std::uint64_t kLeastChunks = 2;

/// Chunks begin at multiples of this.
constexpr std::uint64_t kChunkAlignment = 64;

}  // namespace

class LoadBuffer::Held {
 public:
  explicit Held(LoadBuffer& buffer) : buffer_(buffer) {
    std::unique_lock<std::mutex> lock(buffer.chunks_mutex_);
    // In turns: the chunk that was sent first is free first.
    chunk_ = &buffer.chunks_[buffer.next_];
    buffer.next_ = (buffer.next_ + 1) % buffer.chunks_.size();
    buffer.let_go_.wait(lock, [this] { return !chunk_->held; });
    chunk_->held = true;
  }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;
  ~Held() {
    {
      const std::lock_guard<std::mutex> lock(buffer_.chunks_mutex_);
      chunk_->held = false;
    }
    buffer_.let_go_.notify_all();
  }

  [[nodiscard]] Chunk& chunk() const noexcept { return *chunk_; }

 private:
  LoadBuffer& buffer_;
  Chunk* chunk_ = nullptr;
};

LoadBuffer::LoadBuffer(std::byte* pinned, std::uint64_t bytes)
    : chunks_(std::max(kLeastChunks, bytes / kWantedChunkBytes)) {
  chunk_bytes_ = bytes / chunks_.size() / kChunkAlignment * kChunkAlignment;
  for (Chunk& chunk : chunks_) {
    chunk.pinned = pinned;
    pinned += chunk_bytes_;
  }
}

void LoadBuffer::send(Stream& stream, const std::vector<Copy>& copies, const Fill& fill) {
  const Held held(*this);
  Chunk& chunk = held.chunk();
  chunk.copied.synchronise();
  fill(chunk.pinned);
  const std::lock_guard<std::mutex> lock(stream_mutex_);
  try {
    for (const Copy& copy : copies) stream.copy_to_device(copy.to, chunk.pinned + copy.at, copy.bytes);
  } catch (...) {
    chunk.copied = stream.record();  // those before it may be under way
    throw;
  }
  chunk.copied = stream.record();
}

}  // namespace tandem::cuda
