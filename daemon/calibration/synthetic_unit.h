#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "backends/device.h"

namespace tandem::calibration {

/// Where a unit's memory comes from, on whichever device it is.
struct UnitMemory {
  /// Bytes of sane numbers (see WeightBlock) that stay until the end.
  std::function<std::byte*(std::size_t bytes)> allocate;
  std::function<void(std::byte* to, const void* from, std::size_t bytes)> upload;
  /// Matrices that it takes are repacked ones; null: all lie row after row.
  const device::Repacker* repacker = nullptr;
};

/// The shape of attention that is measured.
struct AttentionShape {
  std::uint32_t width = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t rotated_pairs = 0;  ///< of a head
  device::KvLayout layout = device::KvLayout::separate;
  std::uint32_t context = 0;                        ///< tokens that its KV holds
  device::BlockType type = device::BlockType::f32;  ///< of its matrices
};

/// Tokens of a page of KV.
inline constexpr std::uint32_t kPageTok = 64;

/// An attention half over all of the context, with KV of fp16.
device::Unit attention_unit(const AttentionShape& shape, const UnitMemory& memory);

/// An FFN half with matrices of `type`.
device::Unit ffn_unit(std::uint32_t width, std::uint32_t ffn_width, device::BlockType type,
                      const UnitMemory& memory);

/// Working memory for `rows` rows of these units.
device::Scratch scratch_for(const std::vector<device::Unit>& units, std::uint32_t width, std::uint32_t rows,
                            const UnitMemory& memory);

/// A run of rows of one sequence, the last one at `context` - 1, with its page table.
class OneSequence {
 public:
  OneSequence(std::uint32_t rows, std::uint64_t context);

  /// Valid while this object lives.
  [[nodiscard]] device::MicroBatch batch() const noexcept { return {&sequence_, 1, sequence_.rows}; }

 private:
  std::vector<std::uint32_t> pages_;
  device::SequenceRows sequence_;
};

}  // namespace tandem::calibration
