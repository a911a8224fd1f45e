#include "memory/weight_store.h"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "memory/pages.h"
#include "model/error.h"
#include "model/inventory.h"
#include "model/quantise.h"

namespace tandem::memory {
namespace {

/// What kernels need of a tensor's address.
constexpr std::uint64_t kTensorAlignmentBytes = 4;

/// Bytes read between two reports of progress.
constexpr std::size_t kPrefaultStepBytes = 32U << 20;

}  // namespace

WeightStore::WeightStore(model::Header header) : header_(std::move(header)) {
  if (header_.missing_bytes == 0 && !header_.parts.empty()) return;
  for (const auto& tensor : header_.tensors) static_cast<void>(header_.data(tensor));
}

bool WeightStore::contains(std::string_view name) const noexcept {
  return header_.find_tensor(name) != nullptr;
}

device::Matrix WeightStore::matrix(std::string_view name, Arena& arena) const {
  const auto& found = tensor(name);
  const auto bytes = data(found);
  arena.adopt(found.size_bytes);
  return {bytes.data(), static_cast<device::BlockType>(found.type), static_cast<std::uint32_t>(found.dims[0]),
          static_cast<std::uint32_t>(found.dims[1])};
}

const float* WeightStore::vector(std::string_view name, Arena& arena) const {
  const auto& found = tensor(name);
  const auto bytes = data(found);
  arena.adopt(found.size_bytes);
  return reinterpret_cast<const float*>(bytes.data());
}

device::Matrix WeightStore::quantised(std::string_view name, model::TensorType type, Arena& arena) {
  const auto& found = tensor(name);
  const auto rows = data(found);
  const auto row_elems = static_cast<std::uint32_t>(found.dims[0]);
  const auto row_count = static_cast<std::uint32_t>(found.dims[1]);
  const auto blocks_bytes = model::tensor_bytes(type, found.elems());
  if (!blocks_bytes || !model::can_quantise(found.type, type)) {
    throw model::UnsupportedModel(header_.name + ": tensor " + found.name + " cannot be stored as " +
                                      std::string(model::tensor_type_info(type).name),
                                  "plan with --head-type keep");
  }
  const auto blocks = arena.take(*blocks_bytes);
  const auto from_bytes = rows.size() / row_count;
  const auto to_bytes = blocks.size() / row_count;
  const auto quantise_rows = [&](std::uint32_t begin, std::uint32_t end) {
    for (auto row = begin; row < end; ++row) {
      model::quantise_row(found.type, rows.subspan(row * from_bytes, from_bytes), type,
                          blocks.subspan(row * to_bytes, to_bytes));
    }
  };
  const auto parts = std::clamp(std::thread::hardware_concurrency(), 1U, row_count);
  std::vector<std::jthread> team;
  for (std::uint64_t part = 0; part < parts; ++part) {
    const auto begin = static_cast<std::uint32_t>(part * row_count / parts);
    const auto end = static_cast<std::uint32_t>((part + 1) * row_count / parts);
    team.emplace_back(quantise_rows, begin, end);
  }
  team.clear();  // waits for all
  released_.insert(found.name);
  release(rows);
  return {blocks.data(), static_cast<device::BlockType>(type), row_elems, row_count};
}

std::uint64_t WeightStore::size_bytes(std::string_view name) const {
  return tensor(name).size_bytes;
}

bool WeightStore::is_needed(const model::TensorInfo& tensor) const {
  return model::is_text_tensor(tensor.name) && !released_.contains(tensor.name);
}

void WeightStore::prefault(const Progress& progress) const {
  const auto total_bytes = text_bytes();
  std::uint64_t done_bytes = 0;
  for (const auto& tensor : header_.tensors) {
    if (!is_needed(tensor)) continue;
    const auto bytes = header_.data(tensor);
    for (std::size_t at = 0; at < bytes.size(); at += kPrefaultStepBytes) {
      const auto step = bytes.subspan(at, std::min(kPrefaultStepBytes, bytes.size() - at));
      if (!populate_for_reading(step)) {
        throw Error(header_.parts[tensor.part].path.string() + ": cannot be read into memory");
      }
      done_bytes += step.size();
      if (progress) progress(done_bytes, total_bytes);
    }
  }
}

std::uint64_t WeightStore::text_bytes() const {
  std::uint64_t bytes = 0;
  for (const auto& tensor : header_.tensors) {
    if (is_needed(tensor)) bytes += tensor.size_bytes;
  }
  return bytes;
}

std::span<const std::byte> WeightStore::data(const model::TensorInfo& tensor) const {
  if (tensor.offset_bytes % kTensorAlignmentBytes != 0) {
    throw model::UnsupportedModel(header_.name + ": tensor " + tensor.name + " starts at byte " +
                                      std::to_string(tensor.offset_bytes) + ", not a multiple of " +
                                      std::to_string(kTensorAlignmentBytes),
                                  "write the file again with general.alignment 32");
  }
  return header_.data(tensor);
}

const model::TensorInfo& WeightStore::tensor(std::string_view name) const {
  const auto* found = header_.find_tensor(name);
  if (found == nullptr) throw model::BadModel(header_.name, 0, std::string(name), "the tensor is missing");
  return *found;
}

}  // namespace tandem::memory
