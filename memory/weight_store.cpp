#include "memory/weight_store.h"

#include <algorithm>
#include <utility>

#include "memory/pages.h"
#include "model/error.h"
#include "model/inventory.h"

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

void WeightStore::prefault(const Progress& progress) const {
  const auto total_bytes = text_bytes();
  std::uint64_t done_bytes = 0;
  for (const auto& tensor : header_.tensors) {
    if (!model::is_text_tensor(tensor.name)) continue;
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

std::uint64_t WeightStore::text_bytes() const noexcept {
  std::uint64_t bytes = 0;
  for (const auto& tensor : header_.tensors) {
    if (model::is_text_tensor(tensor.name)) bytes += tensor.size_bytes;
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
