// What the planner takes for granted of a GPU's backend: which units that can run, and how many rows.

#include <array>
#include <memory>
#include <span>
#include <stdexcept>
#include <string>

#include <gtest/gtest.h>

#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "backends/cuda/rows.h"
#include "model/gguf_writer.h"
#include "model/shape.h"
#include "model/tensor_names.h"
#include "planner/gpu_rules.h"
#include "planner/make_plan.h"

namespace tandem::planner {
namespace {

struct Subject {
  model::Header header;
  model::Hyperparameters hyper;
  ModelInput input;
};

Subject subject_of(const model::Shape& shape, model::TensorType type, model::TensorType down) {
  auto recipe = model::QuantRecipe::uniform(type);
  recipe.overrides.emplace_back("ffn_down", down);
  model::GgufWriter writer;
  model::write_model(writer, shape, recipe);
  const auto bytes = std::make_shared<const std::string>(writer.header());
  Subject subject{model::parse_header("made up", std::as_bytes(std::span(*bytes)), bytes), {}, {}};
  subject.hyper = model::read_hyperparameters(subject.header);
  subject.input = model_input(subject.header, subject.hyper);
  return subject;
}

/// A device that makes stages of units whose weights are anywhere: none is executed.
class Backend {
 public:
  Backend() : accelerator_(cuda::make_accelerator(cuda::emulation::make_device({.memory_bytes = 1 << 22}))) {
    constexpr std::uint64_t kBytes = 1 << 16;
    accelerator_->set_step_buffers(
        {accelerator_->allocate(kBytes), accelerator_->allocate_pinned(kBytes), kBytes, 8, 8});
  }

  [[nodiscard]] bool runs(const Subject& subject, UnitRef unit) {
    const device::StageShape shape{subject.hyper.width, 1e-6F, 8};
    try {
      if (unit.kind == UnitKind::head) {
        const auto table = matrix(subject, std::string(model::kTokenEmbedding));
        accelerator_->make_head_stage({table, 1.0F}, {&one_, table, 0.0F}, shape, {});
      } else {
        const auto made =
            unit.kind == UnitKind::ffn ? ffn(subject, unit.layer) : attention(subject, unit.layer);
        accelerator_->make_stage(&made, 1, shape, {});
      }
    } catch (const std::invalid_argument&) {
      return false;
    }
    return true;
  }

 private:
  device::Matrix matrix(const Subject& subject, const std::string& name) const {
    const auto* tensor = subject.header.find_tensor(name);
    if (tensor == nullptr) return {};
    return {&one_, static_cast<device::BlockType>(tensor->type), static_cast<std::uint32_t>(tensor->dims[0]),
            static_cast<std::uint32_t>(tensor->dims[1])};
  }

  device::Unit ffn(const Subject& subject, std::uint32_t layer) const {
    device::Unit unit;
    unit.kind = device::UnitKind::ffn;
    unit.layer = layer;
    unit.ffn.gate = matrix(subject, model::layer_tensor(layer, "ffn_gate"));
    unit.ffn.up = matrix(subject, model::layer_tensor(layer, "ffn_up"));
    unit.ffn.down = matrix(subject, model::layer_tensor(layer, "ffn_down"));
    return unit;
  }

  device::Unit attention(const Subject& subject, std::uint32_t layer) const {
    const auto& spec = subject.hyper.layers[layer];
    device::Unit unit;
    unit.layer = layer;
    auto& half = unit.attention;
    half.q = matrix(subject, model::layer_tensor(layer, "attn_q"));
    half.k = matrix(subject, model::layer_tensor(layer, "attn_k"));
    half.v = matrix(subject, model::layer_tensor(layer, "attn_v"));
    half.out = matrix(subject, model::layer_tensor(layer, "attn_output"));
    half.heads = spec.heads;
    half.kv_heads = spec.kv_heads;
    half.head_dim = spec.head_dim;
    half.window = spec.window;
    half.kv.layout = spec.has_v ? device::KvLayout::separate : device::KvLayout::vector;
    half.kv.row_bytes = std::uint64_t{2} * (spec.has_v ? 2 : 1) * spec.kv_heads * spec.head_dim;
    half.kv.cells = half.kv.page_tok = 64;
    return unit;
  }

  float one_ = 1.0F;
  std::unique_ptr<device::Accelerator> accelerator_;
};

struct Seen {
  int can = 0;
  int cannot = 0;
};

void expect_same(Backend& backend, const Subject& subject, Seen& seen) {
  for (const auto unit : all_units(subject.hyper.layers.size())) {
    const bool may_be = may_be_on_gpu(subject.input, unit);
    ++(may_be ? seen.can : seen.cannot);
    EXPECT_EQ(backend.runs(subject, unit), may_be)
        << subject.input.head_type << ", width " << subject.hyper.width << ", FFN "
        << subject.hyper.layers[0].ffn_width << ", heads of " << subject.hyper.layers[unit.layer].head_dim
        << ", unit " << static_cast<int>(unit.kind) << " of layer " << unit.layer << ": "
        << weights_of(subject.input, unit).not_on_gpu;
  }
}

TEST(GpuRules, SayOfEveryTypeAndShapeWhatTheBackendDoes) {
  Backend backend;
  Seen seen;
  for (const auto& info : model::tensor_types()) {
    for (const std::uint32_t width : {2, 4, 6, 8, 12, 20, 32, 36, 256, 512}) {
      if (width % info.block_elems != 0) continue;
      for (const std::uint32_t ffn_width : {2, 4, 8, 10, 28, 32, 256, 260}) {
        for (const std::uint32_t head_dim : {2, 8, 16, 24, 32, 48, 64, 130, 496, 512}) {
          if (8 * head_dim % info.block_elems != 0) continue;
          model::Shape shape{
              "made up", model::Family::gemma4, 2, width, ffn_width, 8, 2, 1, head_dim, 512, 16, 2, 64, 40};
          for (const auto down : {model::TensorType::f32, model::TensorType::f16, model::TensorType::bf16})
            expect_same(backend, subject_of(shape, info.type, down), seen);
        }
      }
    }
  }
  EXPECT_GT(seen.can, 1000);
  EXPECT_GT(seen.cannot, 1000);
}

/// Kernels of many rows have a block for each, one below another.
TEST(GpuRules, KernelsTakeAsManyRowsAsAMicroBatchMayHave) {
  auto device = cuda::emulation::make_device({.memory_bytes = 1 << 22});
  cuda::Stream stream(device);
  const cuda::DeviceMemory gate(device, std::uint64_t{kMaxMicroBatch + 1} * 4 * sizeof(float));
  const cuda::DeviceMemory up(device, std::uint64_t{kMaxMicroBatch + 1} * 4 * sizeof(float));
  const auto multiply = [&](std::uint32_t rows) {
    cuda::gelu_multiply(stream, reinterpret_cast<float*>(gate.data()), reinterpret_cast<float*>(up.data()),
                        {}, rows, 4);
    stream.synchronise();
  };
  EXPECT_NO_THROW(multiply(kMaxMicroBatch));
  EXPECT_THROW(multiply(kMaxMicroBatch + 1), cuda::DeviceError);
}

}  // namespace
}  // namespace tandem::planner
