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

/// Bytes that are stored in another type at once on their way to an accelerator.
constexpr std::size_t kQuantiseStepBytes = 4U << 20;

device::Matrix as_matrix(const model::TensorInfo& tensor, const std::byte* data) {
  return {data, static_cast<device::BlockType>(tensor.type), static_cast<std::uint32_t>(tensor.dims[0]),
          static_cast<std::uint32_t>(tensor.dims[1])};
}

/// `from`, rows of a float type, stored as `type` in `to`, with all processors.
void quantise_rows(model::TensorType float_type, std::span<const std::byte> from, model::TensorType type,
                   std::span<std::byte> to, std::uint32_t rows) {
  const auto from_bytes = from.size() / rows;
  const auto to_bytes = to.size() / rows;
  const auto parts = std::clamp(std::thread::hardware_concurrency(), 1U, rows);
  std::vector<std::jthread> team;
  for (std::uint64_t part = 0; part < parts; ++part) {
    team.emplace_back([=, begin = part * rows / parts, end = (part + 1) * rows / parts] {
      for (auto row = begin; row < end; ++row) {
        model::quantise_row(float_type, from.subspan(row * from_bytes, from_bytes), type,
                            to.subspan(row * to_bytes, to_bytes));
      }
    });
  }
}

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
  return as_matrix(found, bytes.data());
}

const float* WeightStore::vector(std::string_view name, Arena& arena) const {
  const auto& found = tensor(name);
  const auto bytes = data(found);
  arena.adopt(found.size_bytes);
  return reinterpret_cast<const float*>(bytes.data());
}

float WeightStore::number(std::string_view name) const {
  return *reinterpret_cast<const float*>(data(tensor(name)).data());
}

device::Matrix WeightStore::quantised(std::string_view name, model::TensorType type, Arena& arena) {
  const auto& found = quantisable(name, type);
  const auto blocks = arena.take(model::tensor_bytes(type, found.elems()).value());
  auto matrix = as_matrix(found, blocks.data());
  matrix.type = static_cast<device::BlockType>(type);
  quantise_rows(found.type, data(found), type, blocks, matrix.out);
  let_go(found);
  return matrix;
}

device::Matrix WeightStore::matrix_on(device::Accelerator& accelerator, std::string_view name, Arena& arena) {
  const auto& found = tensor(name);
  const auto memory = arena.take(data(found).size());
  uploads_.push_back({&accelerator, &found, memory.data(), /*is_matrix=*/true});
  return as_matrix(found, memory.data());
}

const float* WeightStore::vector_on(device::Accelerator& accelerator, std::string_view name, Arena& arena) {
  const auto& found = tensor(name);
  const auto memory = arena.take(data(found).size());
  uploads_.push_back({&accelerator, &found, memory.data(), /*is_matrix=*/false});
  return reinterpret_cast<const float*>(memory.data());
}

device::Matrix WeightStore::quantised_on(device::Accelerator& accelerator, std::string_view name,
                                         model::TensorType type, Arena& arena) {
  const auto& found = quantisable(name, type);
  const auto whole_bytes = model::tensor_bytes(type, found.elems()).value();
  const auto memory = arena.take(whole_bytes);
  const auto whole = as_matrix(found, memory.data());
  const auto from = data(found);
  const auto from_bytes = from.size() / whole.out;
  const auto to_bytes = whole_bytes / whole.out;
  const auto step = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, kQuantiseStepBytes / to_bytes));
  std::vector<std::byte> blocks;
  for (std::uint32_t row = 0; row < whole.out; row += step) {
    const auto rows = std::min(step, whole.out - row);
    blocks.resize(rows * to_bytes);
    quantise_rows(found.type, from.subspan(row * from_bytes, rows * from_bytes), type, blocks, rows);
    const device::Matrix part{blocks.data(), static_cast<device::BlockType>(type), whole.in, whole.out};
    accelerator.upload_rows(memory.data(), part, row, rows);
  }
  let_go(found);
  return {memory.data(), static_cast<device::BlockType>(type), whole.in, whole.out};
}

std::uint64_t WeightStore::size_bytes(std::string_view name) const {
  return tensor(name).size_bytes;
}

bool WeightStore::is_needed(const model::TensorInfo& tensor) const {
  return model::is_text_tensor(tensor.name) && !released_.contains(tensor.name);
}

void WeightStore::run(const Upload& upload) const {
  const auto bytes = data(*upload.tensor);
  if (!upload.is_matrix) return upload.accelerator->upload(upload.to, bytes.data(), bytes.size());
  const auto matrix = as_matrix(*upload.tensor, bytes.data());
  upload.accelerator->upload_rows(upload.to, matrix, 0, matrix.out);
}

void WeightStore::let_go(const model::TensorInfo& tensor) {
  released_.insert(tensor.name);
  release(data(tensor));
}

void WeightStore::load(const Progress& progress) {
  const auto total_bytes = text_bytes();
  std::uint64_t done_bytes = 0;
  const auto report = [&](std::uint64_t bytes) {
    done_bytes += bytes;
    if (progress) progress(done_bytes, total_bytes);
  };
  for (const auto& upload : std::exchange(uploads_, {})) {
    run(upload);
    let_go(*upload.tensor);
    report(upload.tensor->size_bytes);
  }
  for (const auto& tensor : header_.tensors) {
    if (!is_needed(tensor)) continue;
    const auto bytes = header_.data(tensor);
    for (std::size_t at = 0; at < bytes.size(); at += kPrefaultStepBytes) {
      const auto step = bytes.subspan(at, std::min(kPrefaultStepBytes, bytes.size() - at));
      if (!populate_for_reading(step)) {
        throw Error(header_.parts[tensor.part].path.string() + ": cannot be read into memory");
      }
      report(step.size());
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

const model::TensorInfo& WeightStore::quantisable(std::string_view name, model::TensorType type) const {
  const auto& found = tensor(name);
  if (model::tensor_bytes(type, found.elems()) && model::can_quantise(found.type, type)) return found;
  throw model::UnsupportedModel(header_.name + ": tensor " + found.name + " cannot be stored as " +
                                    std::string(model::tensor_type_info(type).name),
                                "plan with --head-type keep");
}

const model::TensorInfo& WeightStore::tensor(std::string_view name) const {
  const auto* found = header_.find_tensor(name);
  if (found == nullptr) throw model::BadModel(header_.name, 0, std::string(name), "the tensor is missing");
  return *found;
}

}  // namespace tandem::memory
