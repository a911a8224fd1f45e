#include "daemon/calibration/cpu_products.h"

#include <algorithm>

#include "backends/cpu/operations.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/repacked.h"
#include "planner/row_work.h"

namespace tandem::calibration {
namespace {

/// Rows of a step whose weights are read once and used many times.
constexpr std::uint32_t kProductRows = 128;

/// Samples that go through all of the block between them.
constexpr std::size_t kSamplesOfBlock = 3;

device::BlockType block_type(model::TensorType type) {
  return static_cast<device::BlockType>(type);  // both are GGUF's numbers
}

/// Rows of activations in both forms.
class Input {
 public:
  Input(const cpu::KernelSet& kernels, std::uint32_t in, std::uint32_t rows)
      : in_(in), rows_(rows), floats_(std::size_t{in} * rows, 0.5f) {
    const cpu::QuantisedLayout layout{in};
    quantised_.resize(layout.row_bytes() * rows);
    for (std::size_t r = 0; r < rows; ++r) {
      kernels.quantise(&floats_[r * in], layout, 0, in, &quantised_[r * layout.row_bytes()]);
    }
  }

  [[nodiscard]] cpu::ProductInput view() const { return {floats_.data(), quantised_.data(), in_, rows_}; }

 private:
  std::uint32_t in_;
  std::uint32_t rows_;
  std::vector<float> floats_;
  std::vector<std::byte> quantised_;
};

/// Of a row through the matrices of an FFN half, which is all that product_time does with it.
planner::RowElems elems_of(const FfnShape& shape) {
  planner::RowElems elems;
  elems.inputs = double{1} * shape.width + shape.ffn_width;
  elems.outputs = 2.0 * shape.ffn_width + shape.width;
  return elems;
}

struct ProductTime {
  double seconds = 0;
  double bytes = 0;  ///< of weights
  double ops = 0;    ///< multiplies and adds
};

/// The layout in which such halves are fastest.
device::WeightLayout best_layout(const FfnShape& shape, model::TensorType type) {
  const auto& repacker = cpu::best_repacker();
  const bool repacks = repacker.repacks(block_type(type), shape.width, shape.ffn_width) &&
                       repacker.repacks(block_type(type), shape.ffn_width, shape.width);
  return repacks ? repacker.layout() : device::WeightLayout::rows;
}

/// Multiplies `rows` rows with `halves` of the FFN halves in `block`, each time with those that follow the
/// last.
ProductTime product_time(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const WeightBlock& block,
                         const FfnShape& shape, model::TensorType type, device::WeightLayout layout,
                         std::uint32_t rows, std::size_t halves) {
  const auto bytes_each = ffn_bytes(shape, block_type(type));
  const Input narrow(kernels, shape.width, rows);
  const Input wide(kernels, shape.ffn_width, rows);
  std::vector<float> gate(std::size_t{rows} * shape.ffn_width);
  std::vector<float> up(gate.size());
  std::vector<float> down(std::size_t{rows} * shape.width);
  const auto all = block.bytes().size() / bytes_each;
  std::size_t first = 0;
  const auto multiply = [&](cpu::Team::Member& member, std::size_t i) {
    const auto at = (first + i) % all * bytes_each;
    const auto half = ffn_at(shape, block_type(type), layout, block.bytes().data(), at);
    const cpu::Product into[] = {{&half.gate, gate.data()}, {&half.up, up.data()}};
    cpu::multiply_all(member, kernels, narrow.view(), into);
    const cpu::Product out{&half.down, down.data()};
    cpu::multiply_all(member, kernels, wide.view(), {&out, 1});
  };
  ProductTime time;
  time.seconds = pace.median_s([&] {
    team.run([&](cpu::Team::Member& member) {
      for (std::size_t i = 0; i < halves; ++i) multiply(member, i);
    });
    first += halves;
  });
  time.bytes = static_cast<double>(halves) * static_cast<double>(bytes_each);
  time.ops = 6.0 * rows * shape.width * shape.ffn_width * static_cast<double>(halves);
  return time;
}

}  // namespace

std::vector<model::TensorType> cpu_types() {
  using enum model::TensorType;
  return {q4_0, f16, q6_k, q4_k, q8_0, bf16, q5_k, f32, q4_1, q5_0, q5_1, q3_k, q2_k, iq4_nl, iq4_xs, mxfp4};
}

std::optional<planner::TypeRates> product_rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                                const WeightBlock& block, const FfnShape& shape,
                                                model::TensorType type, const planner::ElementRates& elems) {
  const auto all = block.bytes().size() / ffn_bytes(shape, block_type(type));
  if (all == 0) return std::nullopt;
  const auto halves = std::max<std::size_t>(1, all / kSamplesOfBlock);
  const auto layout = best_layout(shape, type);
  planner::TypeRates rates{type, {}, 0};
  // Without inputs and outputs; at least half of what was measured is arithmetic, however wrong the
  // rest may be.
  const auto arithmetic_s = [&](const ProductTime& time, std::uint32_t rows, std::size_t n) {
    const auto rest_us = planner::row_work_us(elems_of(shape), elems, rows, 0) * static_cast<double>(n);
    return std::max(time.seconds - rest_us / 1e6, time.seconds / 2);
  };
  for (std::size_t i = 0; i < planner::kMeasuredRows.size(); ++i) {
    const auto rows = planner::kMeasuredRows[i];
    const auto time = product_time(pace, team, kernels, block, shape, type, layout, rows, halves);
    rates.read_gb_per_s[i] = time.bytes / arithmetic_s(time, rows, halves) / 1e9;
  }
  const auto time = product_time(pace, team, kernels, block, shape, type, layout, kProductRows, 1);
  rates.tops = time.ops / arithmetic_s(time, kProductRows, 1) / 1e12;
  return rates;
}

double mapped_slowdown(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const WeightBlock& mapped,
                       const WeightBlock& block, const FfnShape& shape, model::TensorType type) {
  const auto all = std::min(mapped.bytes().size(), block.bytes().size()) / ffn_bytes(shape, block_type(type));
  if (all == 0) return 0;
  const auto halves = std::max<std::size_t>(1, all / kSamplesOfBlock);
  const auto seconds = [&](const WeightBlock& weights, device::WeightLayout layout) {
    return product_time(pace, team, kernels, weights, shape, type, layout, 1, halves).seconds;
  };
  const auto mapped_s = seconds(mapped, device::WeightLayout::rows);
  return std::max(1.0, mapped_s / seconds(block, best_layout(shape, type)));
}

}  // namespace tandem::calibration
