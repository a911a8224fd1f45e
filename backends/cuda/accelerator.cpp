#include "backends/cuda/accelerator.h"

#include <algorithm>
#include <cstring>
#include <optional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "backends/cuda/candidates.h"
#include "backends/cuda/head_stage.h"
#include "backends/cuda/load_buffer.h"
#include "backends/cuda/plane_layout.h"
#include "backends/cuda/stage.h"
#include "backends/cuda/step_descriptor.h"
#include "backends/cuda/weight_stream.h"

namespace tandem::cuda {
namespace {

/// How many blocks are taken apart in a chunk of the load buffer at once: so many, where there is room, that
/// every plane begins at a multiple of 64 bytes in the chunk.
std::uint64_t blocks_at_once(const PlaneLayout& layout, std::uint64_t chunk_bytes) {
  constexpr std::uint64_t kAligned = 64;
  const std::uint64_t most = chunk_bytes / (layout.block_bytes + other_bytes(layout));
  if (most == 0) throw std::runtime_error("CUDA: too little memory to load weights through");
  return most < kAligned ? most : most / kAligned * kAligned;
}

/// From where take_apart puts `n` blocks to the planes from `to` on of a matrix of `all` blocks, in which the
/// first of them has number `first`.
std::vector<LoadBuffer::Copy> plane_copies(const PlaneLayout& layout, std::byte* to, std::uint64_t all,
                                           std::uint64_t first, std::uint64_t n) {
  std::vector<LoadBuffer::Copy> copies;
  std::byte* plane = to + all * layout.parts[0].bytes;
  std::uint64_t at = 0;
  for (std::uint32_t part = 1; part < kMaxParts && layout.parts[part].bytes > 0; ++part) {
    const std::uint64_t bytes = layout.parts[part].bytes;
    copies.push_back({plane + first * bytes, at, n * bytes});
    plane += all * bytes;
    at += n * bytes;
  }
  copies.push_back({to + first * layout.parts[0].bytes, at, n * layout.parts[0].bytes});
  return copies;
}

class CudaAccelerator final : public device::Accelerator {
 public:
  explicit CudaAccelerator(Device device) : device_(std::move(device)), stream_(device_), weights_(device_) {}

  device::MemoryInfo memory() const override {
    const MemoryInfo info = device_.memory();
    return {info.free_bytes, info.total_bytes, info.driver_bytes};
  }

  std::byte* allocate(std::uint64_t bytes) override { return memory_.emplace_back(device_, bytes).data(); }

  std::byte* allocate_pinned(std::uint64_t bytes) override {
    return pinned_.emplace_back(device_, bytes).data();
  }

  void set_load_buffer(std::byte* pinned, std::uint64_t bytes) override {
    load_buffer_.reset();
    if (bytes > 0) load_buffer_ = std::make_unique<LoadBuffer>(pinned, bytes);
  }

  void upload(std::byte* to, const void* from, std::uint64_t bytes) override {
    LoadBuffer& buffer = load_buffer();
    for (std::uint64_t at = 0; at < bytes; at += buffer.chunk_bytes()) {
      const std::uint64_t n = std::min(buffer.chunk_bytes(), bytes - at);
      buffer.send(stream_, {{to + at, 0, n}}, [&](std::byte* pinned) {
        std::memcpy(pinned, static_cast<const std::byte*>(from) + at, n);
      });
    }
  }

  void upload_rows(std::byte* to, const device::Matrix& shape, std::uint32_t first_row, std::uint32_t rows,
                   const device::ReadBytes& read) override {
    const PlaneLayout layout = plane_layout(shape.type);
    if (layout.block_elems == 0) throw std::invalid_argument("CUDA: a matrix of an unknown block type");
    const std::uint64_t row_blocks = std::uint64_t{shape.in} / layout.block_elems;
    const std::uint64_t first = row_blocks * first_row;
    const std::uint64_t blocks = row_blocks * rows;
    LoadBuffer& buffer = load_buffer();
    const std::uint64_t step = blocks_at_once(layout, buffer.chunk_bytes());
    for (std::uint64_t at = 0; at < blocks; at += step) {
      const std::uint64_t n = std::min(step, blocks - at);
      const auto copies = plane_copies(layout, to, row_blocks * shape.out, first + at, n);
      buffer.send(stream_, copies, [&](std::byte* pinned) {
        read(at * layout.block_bytes, pinned + n * other_bytes(layout), n * layout.block_bytes);
        take_apart(layout, n, pinned);
      });
    }
  }

  void set_stream_buffers(const device::StreamBuffers& buffers) override { weights_.set_buffers(buffers); }

  std::unique_ptr<device::Stage> make_stage(const device::Unit* units, std::size_t n_units,
                                            const device::StageShape& shape,
                                            const device::Scratch& scratch) override {
    for (std::size_t u = 0; u < n_units; ++u) {
      page_tok_ = std::max(page_tok_, units[u].attention.kv.page_tok);
    }
    make_descriptor(shape.max_rows);
    return cuda::make_stage({units, units + n_units}, shape, scratch, rows_, graphs_, weights_, stream_);
  }

  std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                     const device::Head& head,
                                                     const device::StageShape& shape,
                                                     const device::Scratch& scratch) override {
    make_descriptor(shape.max_rows);
    return cuda::make_head_stage(embedding, head, shape, scratch, descriptor_->tokens(),
                                 descriptor_->indices(), stream_);
  }

  void set_step_buffers(const device::StepBuffers& buffers) override { buffers_ = buffers; }

  void begin(const device::MicroBatch& batch) override {
    stream_.synchronise();  // the last micro-batch may still read the buffers
    if (descriptor_) rows_ = descriptor_->write(batch, page_tok_, stream_);
  }

  void set_graph_limit(std::uint64_t bytes) override { graphs_.limit_bytes = bytes; }
  [[nodiscard]] std::uint64_t graph_bytes() const override { return graphs_.used_bytes; }
  [[nodiscard]] device::RecordedSteps recorded_steps() const override { return graphs_.recorded; }

  void reduce(const device::LogitReduction& reduction) override { cuda::reduce(stream_, reduction); }

  void send(float* to, const float* from_pinned, std::uint64_t bytes) override {
    stream_.copy_to_device(to, from_pinned, bytes);
  }

  void receive(float* to_pinned, const float* from, std::uint64_t bytes) override {
    stream_.copy_to_host(to_pinned, from, bytes);
    stream_.synchronise();
  }

  void wait() override {
    stream_.synchronise();
    weights_.wait();
  }

 private:
  [[nodiscard]] LoadBuffer& load_buffer() const {
    if (!load_buffer_) throw std::runtime_error("CUDA: nothing was set to load weights through");
    return *load_buffer_;
  }

  /// Every stage has the same rows.
  void make_descriptor(std::uint32_t max_rows) {
    if (descriptor_) return;
    descriptor_.emplace(buffers_, max_rows);
    rows_ = descriptor_->empty();
  }

  Device device_;
  Stream stream_;
  WeightStream weights_;
  std::vector<DeviceMemory> memory_;
  std::vector<PinnedMemory> pinned_;
  std::unique_ptr<LoadBuffer> load_buffer_;
  device::StepBuffers buffers_;
  std::optional<StepDescriptor> descriptor_;
  StepRows rows_;
  GraphBudget graphs_;
  std::uint32_t page_tok_ = 0;
};

}  // namespace

std::unique_ptr<device::Accelerator> make_accelerator(Device device) {
  return std::make_unique<CudaAccelerator>(std::move(device));
}

}  // namespace tandem::cuda
