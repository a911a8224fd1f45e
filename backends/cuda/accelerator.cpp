#include "backends/cuda/accelerator.h"

#include <algorithm>
#include <cstring>
#include <functional>
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
    send(to, bytes, 1, [from](std::uint64_t first, std::uint64_t n, std::byte* pinned) {
      std::memcpy(pinned, static_cast<const std::byte*>(from) + first, n);
    });
  }

  void upload_rows(std::byte* to, const device::Matrix& matrix, std::uint32_t first_row,
                   std::uint32_t rows) override {
    const PlaneLayout layout = plane_layout(matrix.type);
    if (layout.block_elems == 0) throw std::invalid_argument("CUDA: a matrix of an unknown block type");
    const std::uint64_t row_blocks = std::uint64_t{matrix.in} / layout.block_elems;
    const std::uint64_t begin = row_blocks * first_row;
    const auto* source = static_cast<const std::byte*>(matrix.data);
    for (const BlockPart& part : layout.parts) {
      if (part.bytes == 0) break;
      send(to + begin * part.bytes, row_blocks * rows, part.bytes,
           [&](std::uint64_t first, std::uint64_t n, std::byte* pinned) {
             gather_part(layout, part, source + first * layout.block_bytes, n, pinned);
           });
      to += row_blocks * matrix.out * part.bytes;
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
  /// Writes `n` items from number `first` on to `pinned`.
  using Fill = std::function<void(std::uint64_t first, std::uint64_t n, std::byte* pinned)>;

  /// `n` items of `item_bytes` bytes to the device, as many at a time as a chunk of the buffer holds.
  void send(std::byte* to, std::uint64_t n, std::uint64_t item_bytes, const Fill& fill) {
    const std::uint64_t step = load_buffer_ ? load_buffer_->chunk_bytes() / item_bytes : 0;
    if (step == 0) throw std::runtime_error("CUDA: nothing was set to load weights through");
    for (std::uint64_t at = 0; at < n; at += step) {
      const std::uint64_t items = std::min(step, n - at);
      load_buffer_->send(stream_, to + at * item_bytes, items * item_bytes,
                         [&](std::byte* pinned) { fill(at, items, pinned); });
    }
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
