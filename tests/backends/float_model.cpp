#include "tests/backends/float_model.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <stdexcept>
#include <sys/mman.h>
#include <unistd.h>
#include <utility>
#include <vector>

#include "backends/cpu/dequantise.h"
#include "model/quantise.h"

namespace tandem::test_support {
namespace {

std::size_t row_bytes_of(model::TensorType type, std::uint64_t elems) {
  return cpu::row_bytes(static_cast<device::BlockType>(type), static_cast<std::uint32_t>(elems));
}

/// Memory that behaves as a mapped file does: pages that are dropped come back as they were.
class FileMemory {
 public:
  explicit FileMemory(std::size_t bytes) {
    const int file = memfd_create("model", MFD_CLOEXEC);
    void* mapped = MAP_FAILED;
    if (file >= 0 && ftruncate(file, static_cast<off_t>(bytes)) == 0) {
      mapped = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    }
    if (file >= 0) close(file);
    if (mapped == MAP_FAILED) throw std::runtime_error("no memory for a model");
    bytes_ = {static_cast<std::byte*>(mapped), bytes};
  }
  FileMemory(const FileMemory&) = delete;
  FileMemory& operator=(const FileMemory&) = delete;
  ~FileMemory() { munmap(bytes_.data(), bytes_.size()); }

  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return bytes_; }

 private:
  std::span<std::byte> bytes_;
};

/// Gives every tensor the type that `type_of` says and a place behind the one before; returns their bytes.
template <class TypeOf>
std::size_t place_anew(std::vector<model::TensorInfo>& tensors, const TypeOf& type_of) {
  constexpr std::size_t kAlignment = 64;
  std::size_t end = 0;
  for (auto& tensor : tensors) {
    tensor.type = type_of(tensor);
    tensor.part = 0;
    tensor.offset_bytes = (end + kAlignment - 1) / kAlignment * kAlignment;
    tensor.size_bytes = tensor.elems() / tensor.dims[0] * row_bytes_of(tensor.type, tensor.dims[0]);
    end = tensor.offset_bytes + tensor.size_bytes;
  }
  return end;
}

/// The same model with every tensor stored as `type_of` says; `store` makes one row of it from one that was.
template <class TypeOf, class Store>
model::Header stored_anew(const model::Header& header, const TypeOf& type_of, const Store& store) {
  auto result = header;
  const auto memory = std::make_shared<FileMemory>(place_anew(result.tensors, type_of));
  result.tensor_bytes = 0;
  for (std::size_t i = 0; i < result.tensors.size(); ++i) {
    const auto& from = header.tensors[i];
    const auto& to = result.tensors[i];
    const auto from_bytes = row_bytes_of(from.type, from.dims[0]),
               to_bytes = row_bytes_of(to.type, to.dims[0]);
    for (std::size_t row = 0; row < to.size_bytes / to_bytes; ++row) {
      store(from.type, header.data(from).subspan(row * from_bytes, from_bytes), to.type,
            memory->bytes().subspan(to.offset_bytes + row * to_bytes, to_bytes));
    }
    result.tensor_bytes += to.size_bytes;
  }
  result.parts = {{header.parts.front().path, memory->bytes(), nullptr}};
  result.storage = std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
      header.storage, memory);
  return result;
}

}  // namespace

model::Header in_floats(const model::Header& header) {
  const auto store = [](model::TensorType from, std::span<const std::byte> row, model::TensorType,
                        std::span<std::byte> floats) {
    cpu::dequantise(static_cast<device::BlockType>(from), row.data(),
                    static_cast<std::uint32_t>(floats.size() / sizeof(float)),
                    reinterpret_cast<float*>(floats.data()));
  };
  return stored_anew(
      header, [](const model::TensorInfo&) { return model::TensorType::f32; }, store);
}

model::Header in_blocks(const model::Header& header, model::TensorType type) {
  const auto type_of = [type](const model::TensorInfo& tensor) {
    const bool is_matrix = tensor.elems() > tensor.dims[0];
    return is_matrix && model::can_quantise(tensor.type, type) ? type : tensor.type;
  };
  const auto store = [](model::TensorType from, std::span<const std::byte> row, model::TensorType to,
                        std::span<std::byte> blocks) {
    if (from == to) {
      std::ranges::copy(row, blocks.begin());
    } else {
      model::quantise_row(from, row, to, blocks);
    }
  };
  return stored_anew(header, type_of, store);
}

}  // namespace tandem::test_support
