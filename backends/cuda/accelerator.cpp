#include "backends/cuda/accelerator.h"

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "backends/cuda/head_stage.h"
#include "backends/cuda/plane_layout.h"
#include "backends/cuda/stage.h"
#include "backends/cuda/step_rows.h"

namespace tandem::cuda {
namespace {

constexpr std::uint64_t kAlignment = 64;

/// Cuts the step buffers into pieces, the same ones on both sides.
class StepPieces {
 public:
  explicit StepPieces(const device::StepBuffers& buffers) : buffers_(buffers) {}

  /// The next `bytes` on the device and in pinned memory.
  std::pair<std::byte*, std::byte*> take(std::uint64_t bytes) {
    const std::uint64_t padded = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    if (padded > buffers_.bytes - taken_) {
      throw std::runtime_error("CUDA step: " + std::to_string(bytes) + " bytes more than the " +
                               std::to_string(buffers_.bytes) + " that there are");
    }
    const auto pieces = std::pair(buffers_.on_device + taken_, buffers_.pinned + taken_);
    taken_ += padded;
    return pieces;
  }

  NumberBuffers take_numbers(std::uint32_t n) {
    const auto [on_device, pinned] = take(n * sizeof(std::uint32_t));
    return {reinterpret_cast<std::uint32_t*>(on_device), reinterpret_cast<std::uint32_t*>(pinned), n};
  }

 private:
  device::StepBuffers buffers_;
  std::uint64_t taken_ = 0;
};

class CudaAccelerator final : public device::Accelerator {
 public:
  explicit CudaAccelerator(Device device) : device_(std::move(device)), stream_(device_) {}

  device::MemoryInfo memory() const override {
    const MemoryInfo info = device_.memory();
    return {info.free_bytes, info.total_bytes};
  }

  std::byte* allocate(std::uint64_t bytes) override { return memory_.emplace_back(device_, bytes).data(); }

  std::byte* allocate_pinned(std::uint64_t bytes) override {
    return pinned_.emplace_back(device_, bytes).data();
  }

  void set_load_buffer(std::byte* pinned, std::uint64_t bytes) override {
    load_buffer_ = pinned;
    load_bytes_ = bytes;
  }

  void upload(std::byte* to, const void* from, std::uint64_t bytes) override {
    const auto* source = static_cast<const std::byte*>(from);
    const std::uint64_t step = load_step(1);
    for (std::uint64_t at = 0; at < bytes; at += step) {
      const std::uint64_t n = std::min(step, bytes - at);
      load(to + at, n, [&](std::byte* pinned) { std::memcpy(pinned, source + at, n); });
    }
  }

  void upload_rows(std::byte* to, const device::Matrix& matrix, std::uint32_t first_row,
                   std::uint32_t rows) override {
    const PlaneLayout layout = plane_layout(matrix.type);
    if (layout.block_elems == 0) throw std::invalid_argument("CUDA: a matrix of an unknown block type");
    const std::uint64_t row_blocks = std::uint64_t{matrix.in} / layout.block_elems;
    const std::uint64_t begin = row_blocks * first_row;
    const std::uint64_t end = begin + row_blocks * rows;
    for (const BlockPart& part : layout.parts) {
      if (part.bytes == 0) break;
      const std::uint64_t step = load_step(part.bytes);
      for (std::uint64_t first = begin; first < end; first += step) {
        const std::uint64_t n = std::min(step, end - first);
        const auto* source =
            static_cast<const std::byte*>(matrix.data) + (first - begin) * layout.block_bytes;
        load(to + first * part.bytes, n * part.bytes,
             [&](std::byte* pinned) { gather_part(layout, part, source, n, pinned); });
      }
      to += row_blocks * matrix.out * part.bytes;
    }
  }

  std::unique_ptr<device::Stage> make_stage(const device::Unit* units, std::size_t n_units,
                                            const device::StageShape& shape,
                                            const device::Scratch& scratch) override {
    for (std::size_t u = 0; u < n_units; ++u) {
      page_tok_ = std::max(page_tok_, units[u].attention.kv.page_tok);
    }
    return cuda::make_stage({units, units + n_units}, shape, scratch, rows_, stream_);
  }

  std::unique_ptr<device::HeadStage> make_head_stage(const device::Embedding& embedding,
                                                     const device::Head& head,
                                                     const device::StageShape& shape,
                                                     const device::Scratch& scratch) override {
    StepPieces pieces(buffers_);
    const auto tokens = pieces.take_numbers(shape.max_rows);
    const auto indices = pieces.take_numbers(shape.max_rows);
    max_rows_ = shape.max_rows;
    return cuda::make_head_stage(embedding, head, shape, scratch, tokens, indices, stream_);
  }

  void set_step_buffers(const device::StepBuffers& buffers) override { buffers_ = buffers; }

  void begin(const device::MicroBatch& batch) override {
    stream_.synchronise();  // the last micro-batch may still read the buffers
    StepPieces pieces(buffers_);
    if (max_rows_ != 0) {  // tokens and indices come first
      pieces.take_numbers(max_rows_);
      pieces.take_numbers(max_rows_);
    }
    const auto [rows, pinned_rows] = pieces.take(batch.rows * sizeof(StepRow));
    const auto n_pages = count_pages(batch);
    const auto [pages, pinned_pages] = pieces.take(n_pages * sizeof(std::uint32_t));
    fill(batch, reinterpret_cast<StepRow*>(pinned_rows), reinterpret_cast<std::uint32_t*>(pinned_pages));
    stream_.copy_to_device(rows, pinned_rows, batch.rows * sizeof(StepRow));
    if (n_pages > 0) stream_.copy_to_device(pages, pinned_pages, n_pages * sizeof(std::uint32_t));
    rows_ = {reinterpret_cast<const StepRow*>(rows), reinterpret_cast<const std::uint32_t*>(pages),
             batch.rows};
  }

  void send(float* to, const float* from_pinned, std::uint64_t bytes) override {
    stream_.copy_to_device(to, from_pinned, bytes);
  }

  void receive(float* to_pinned, const float* from, std::uint64_t bytes) override {
    stream_.copy_to_host(to_pinned, from, bytes);
    stream_.synchronise();
  }

  void wait() override { stream_.synchronise(); }

 private:
  /// Pieces of `bytes` bytes that the load buffer holds.
  std::uint64_t load_step(std::uint64_t bytes) const {
    if (load_bytes_ < bytes) throw std::runtime_error("CUDA: nothing was set to load weights through");
    return load_bytes_ / bytes;
  }

  /// One copy to the device of what `fill` puts into pinned memory.
  template <class Fill>
  void load(std::byte* to, std::uint64_t bytes, const Fill& fill) {
    fill(load_buffer_);
    stream_.copy_to_device(to, load_buffer_, bytes);
    stream_.synchronise();
  }

  /// Entries of a sequence's page table that its rows need.
  std::uint64_t pages_of(const device::SequenceRows& sequence) const {
    if (page_tok_ == 0 || sequence.rows == 0) return 0;
    return (sequence.first_position + sequence.rows - 1) / page_tok_ + 1;
  }

  std::uint64_t count_pages(const device::MicroBatch& batch) const {
    std::uint64_t n = 0;
    for (std::uint32_t s = 0; s < batch.n_sequences; ++s) n += pages_of(batch.sequences[s]);
    return n;
  }

  void fill(const device::MicroBatch& batch, StepRow* rows, std::uint32_t* pages) const {
    std::uint32_t first_page = 0;
    for (std::uint32_t s = 0; s < batch.n_sequences; ++s) {
      const device::SequenceRows& sequence = batch.sequences[s];
      for (std::uint32_t r = 0; r < sequence.rows; ++r) {
        rows[sequence.first_row + r] = {sequence.first_position + r,
                                        sequence.first_position,
                                        sequence.first_key,
                                        sequence.first_row,
                                        sequence.first_row + sequence.rows,
                                        sequence.slot,
                                        first_page};
      }
      const std::uint64_t n = pages_of(sequence);
      if (n > 0) std::memcpy(pages + first_page, sequence.pages, n * sizeof *pages);
      first_page += static_cast<std::uint32_t>(n);
    }
  }

  Device device_;
  Stream stream_;
  std::vector<DeviceMemory> memory_;
  std::vector<PinnedMemory> pinned_;
  std::byte* load_buffer_ = nullptr;
  std::uint64_t load_bytes_ = 0;
  device::StepBuffers buffers_;
  StepRows rows_;
  std::uint32_t page_tok_ = 0;
  std::uint32_t max_rows_ = 0;
};

}  // namespace

std::unique_ptr<device::Accelerator> make_accelerator(Device device) {
  return std::make_unique<CudaAccelerator>(std::move(device));
}

}  // namespace tandem::cuda
