#include "daemon/calibration/synthetic_unit.h"

#include <algorithm>
#include <numeric>

#include "backends/cpu/dequantise.h"

namespace tandem::calibration {
namespace {

/// fp16.
constexpr std::uint64_t kKvElemBytes = 2;

/// Bytes of a row of 32 elements as integers, the scale and sums beside it (planner/activations.h).
constexpr std::uint64_t kQuantisedBlockBytes = 40;

template <class Number>
const Number* place(const std::vector<Number>& numbers, const UnitMemory& memory) {
  const auto bytes = numbers.size() * sizeof(Number);
  auto* const to = memory.allocate(bytes);
  memory.upload(to, numbers.data(), bytes);
  return reinterpret_cast<const Number*>(to);
}

/// A norm's weights.
const float* ones(std::uint32_t elems, const UnitMemory& memory) {
  return place(std::vector<float>(elems, 1.0f), memory);
}

/// Of fp32 numbers whose products over a row stay near 1, or of sane blocks.
device::Matrix matrix(std::uint32_t in, std::uint32_t out, device::BlockType type, const UnitMemory& memory) {
  if (type != device::BlockType::f32) {
    const bool repacked = memory.repacker != nullptr && memory.repacker->repacks(type, in, out);
    return {memory.allocate(cpu::row_bytes(type, in) * out), type, in, out,
            repacked ? memory.repacker->layout() : device::WeightLayout::rows};
  }
  return {place(std::vector<float>(std::size_t{in} * out, 0.01f), memory), type, in, out};
}

const double* frequencies(const AttentionShape& shape, const UnitMemory& memory) {
  std::vector<double> inv_freq(shape.head_dim / 2, 0.0);
  std::fill_n(inv_freq.begin(), shape.rotated_pairs, 0.01);
  return place(inv_freq, memory);
}

device::KvCache kv_of(const AttentionShape& shape, const UnitMemory& memory) {
  const std::uint64_t vectors = shape.layout == device::KvLayout::separate ? 2 : 1;
  const auto pages = (shape.context + kPageTok - 1) / kPageTok;
  device::KvCache kv;
  kv.row_bytes = vectors * shape.kv_heads * shape.head_dim * kKvElemBytes;
  kv.layout = shape.layout;
  kv.page_tok = kPageTok;
  kv.rows = memory.allocate(kv.row_bytes * pages * kPageTok);
  return kv;
}

}  // namespace

device::Unit attention_unit(const AttentionShape& shape, const UnitMemory& memory) {
  const auto q_elems = shape.heads * shape.head_dim;
  const auto kv_elems = shape.kv_heads * shape.head_dim;
  device::Unit unit;
  auto& half = unit.attention;
  half.norm = ones(shape.width, memory);
  half.post_norm = ones(shape.width, memory);
  half.q_norm = ones(shape.head_dim, memory);
  half.k_norm = ones(shape.head_dim, memory);
  half.q = matrix(shape.width, q_elems, shape.type, memory);
  half.k = matrix(shape.width, kv_elems, shape.type, memory);
  if (shape.layout == device::KvLayout::separate) half.v = matrix(shape.width, kv_elems, shape.type, memory);
  half.out = matrix(q_elems, shape.width, shape.type, memory);
  half.inv_freq = frequencies(shape, memory);
  half.heads = shape.heads;
  half.kv_heads = shape.kv_heads;
  half.head_dim = shape.head_dim;
  half.attention_scale = 1.0f / static_cast<float>(shape.head_dim);
  half.kv = kv_of(shape, memory);
  return unit;
}

device::Unit ffn_unit(std::uint32_t width, std::uint32_t ffn_width, device::BlockType type,
                      const UnitMemory& memory) {
  device::Unit unit;
  unit.kind = device::UnitKind::ffn;
  unit.ffn.norm = ones(width, memory);
  unit.ffn.post_norm = ones(width, memory);
  unit.ffn.gate = matrix(width, ffn_width, type, memory);
  unit.ffn.up = matrix(width, ffn_width, type, memory);
  unit.ffn.down = matrix(ffn_width, width, type, memory);
  return unit;
}

device::Scratch scratch_for(const std::vector<device::Unit>& units, std::uint32_t width, std::uint32_t rows,
                            const UnitMemory& memory) {
  std::uint64_t q_elems = 0, kv_elems = 0, ffn_elems = 0, kv_row_bytes = 0;
  for (const auto& unit : units) {
    const auto& half = unit.attention;
    q_elems = std::max(q_elems, std::uint64_t{half.heads} * half.head_dim);
    kv_elems = std::max(kv_elems, std::uint64_t{half.kv_heads} * half.head_dim);
    kv_row_bytes = std::max(kv_row_bytes, half.kv.row_bytes);
    ffn_elems = std::max<std::uint64_t>(ffn_elems, unit.ffn.gate.out);
  }
  const auto floats = [&](std::uint64_t elems) {
    return reinterpret_cast<float*>(memory.allocate(rows * elems * sizeof(float)));
  };
  const auto longest = std::max({std::uint64_t{width}, q_elems, ffn_elems});
  device::Scratch scratch;
  scratch.normed = floats(width);
  scratch.projected = floats(width);
  scratch.q = floats(q_elems);
  scratch.k = floats(kv_elems);
  scratch.v = floats(kv_elems);
  scratch.attended = floats(q_elems);
  scratch.gate = floats(ffn_elems);
  scratch.up = floats(ffn_elems);
  scratch.quantised = memory.allocate(rows * ((longest + 31) / 32) * kQuantisedBlockBytes);
  scratch.kv_staging = memory.allocate(rows * kv_row_bytes);
  return scratch;
}

OneSequence::OneSequence(std::uint32_t rows, std::uint64_t context)
    : pages_((context + kPageTok - 1) / kPageTok) {
  std::iota(pages_.begin(), pages_.end(), 0U);
  sequence_.rows = rows;
  sequence_.first_position = context - rows;
  sequence_.pages = pages_.data();
}

}  // namespace tandem::calibration
