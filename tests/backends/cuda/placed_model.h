#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "backends/cuda/emulation/device.h"
#include "backends/device.h"
#include "tests/backends/cpu_model.h"

namespace tandem::cuda_test {

/// Which units run on the emulated device.
struct Placement {
  std::uint64_t units = 0;  ///< bit 2 * layer: its attention half, bit 2 * layer + 1: its FFN half
  bool head = false;        ///< and the embedding
  std::uint64_t graph_limit_bytes = 0;
  std::uint64_t streamed = 0;  ///< of the FFN halves on the device: those whose weights stay on the host
  bool records_ahead = false;  ///< the steps that graphs are of
};

/// A model whose units run where a placement says: stages on the CPU and on the emulated device, rows carried
/// between them.
class PlacedModel {
 public:
  PlacedModel(const std::string& gguf_name, const test_support::CpuModelOptions& options,
              const Placement& placement, const cuda::emulation::Options& emulated);

  /// As CpuModel's.
  std::vector<float> step(std::span<const test_support::Chunk> chunks);
  std::vector<float> run(std::span<const std::int32_t> tokens, std::size_t chunk_tok);

  /// What the device was asked to do so far.
  [[nodiscard]] cuda::emulation::Counts counts() const { return cuda::emulation::counts(*device_); }
  [[nodiscard]] std::uint64_t graph_bytes() const { return accelerator_->graph_bytes(); }
  [[nodiscard]] device::RecordedSteps recorded_steps() const { return accelerator_->recorded_steps(); }

 private:
  struct PlacedStage {
    bool on_device;
    std::unique_ptr<device::Stage> stage;
  };

  void make_stages(const Placement& placement, const test_support::CpuModelOptions& options);
  void make_head(const test_support::ModelViews& views, bool on_device);
  device::Unit upload(const device::Unit& unit, const test_support::CpuModelOptions& options);
  void make_stream_buffers();
  device::Matrix upload(const device::Matrix& matrix);
  template <class T>
  const T* upload(const T* values, std::size_t n);
  device::Scratch make_scratch(const std::vector<device::Unit>& units, bool on_device);
  std::byte* allocate(std::size_t bytes, bool on_device);
  void carry(bool to_device, std::uint32_t rows);

  test_support::ModelViews* views_ = nullptr;
  test_support::CpuModel host_;
  cpu::Team team_;
  device::StageShape shape_;
  cuda::Device::State* device_ = nullptr;
  std::unique_ptr<device::Accelerator> accelerator_;
  std::deque<std::vector<std::byte>> memory_;
  std::vector<std::vector<std::uint32_t>> pages_;
  std::vector<PlacedStage> stages_;
  std::unique_ptr<device::HeadStage> head_;
  bool head_on_device_ = false;
  float* x_on_device_ = nullptr;
  float* logits_on_device_ = nullptr;
  float* pinned_x_ = nullptr;
  float* pinned_logits_ = nullptr;
  std::vector<float> x_;
};

}  // namespace tandem::cuda_test
