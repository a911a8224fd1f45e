#include "memory/weight_store.h"

#include <algorithm>
#include <thread>
#include <utility>
#include <vector>

#include "memory/pages.h"
#include "memory/read_ahead.h"
#include "model/error.h"
#include "model/inventory.h"
#include "model/quantise.h"

namespace tandem::memory {
namespace {

/// What kernels need of a tensor's address.
constexpr std::uint64_t kTensorAlignmentBytes = 4;

/// Bytes that are read at once, more only where a row is longer.
constexpr std::uint64_t kPieceBytes = 4U << 20;

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

device::Matrix WeightStore::copied(const Copy& copy) {
  auto matrix = as_matrix(*copy.tensor, copy.to);
  matrix.type = static_cast<device::BlockType>(copy.type);
  copies_.push_back(copy);
  copied_.insert(copy.tensor->name);
  return matrix;
}

WeightStore::Copy WeightStore::quantised_copy(device::Accelerator* accelerator, std::string_view name,
                                              model::TensorType type, Arena& arena) const {
  const auto& found = tensor(name);
  const auto bytes = model::tensor_bytes(type, found.elems());
  if (!bytes || !model::can_quantise(found.type, type)) {
    throw model::UnsupportedModel(header_.name + ": tensor " + found.name + " cannot be stored as " +
                                      std::string(model::tensor_type_info(type).name),
                                  "plan with --head-type keep");
  }
  static_cast<void>(data(found));
  return {accelerator, &found, arena.take(*bytes).data(), type};
}

device::Matrix WeightStore::quantised(std::string_view name, model::TensorType type, Arena& arena) {
  return copied(quantised_copy(nullptr, name, type, arena));
}

device::Matrix WeightStore::quantised_on(device::Accelerator& accelerator, std::string_view name,
                                         model::TensorType type, Arena& arena) {
  return copied(quantised_copy(&accelerator, name, type, arena));
}

device::Matrix WeightStore::matrix_on(device::Accelerator& accelerator, std::string_view name, Arena& arena) {
  const auto& found = tensor(name);
  return copied({&accelerator, &found, arena.take(data(found).size()).data(), found.type});
}

const float* WeightStore::vector_on(device::Accelerator& accelerator, std::string_view name, Arena& arena) {
  const auto& found = tensor(name);
  auto* const to = arena.take(data(found).size()).data();
  copied({&accelerator, &found, to, found.type});
  return reinterpret_cast<const float*>(to);
}

std::uint64_t WeightStore::size_bytes(std::string_view name) const {
  return tensor(name).size_bytes;
}

bool WeightStore::is_used_in_place(const model::TensorInfo& tensor) const {
  return model::is_text_tensor(tensor.name) && !copied_.contains(tensor.name);
}

void WeightStore::add_pieces(const model::TensorInfo& tensor, const Copy* copy,
                             std::vector<Piece>& pieces) const {
  const auto bytes = header_.data(tensor);
  const auto rows = static_cast<std::uint32_t>(tensor.elems() / tensor.dims[0]);
  const auto row_bytes = bytes.size() / rows;
  const auto step = static_cast<std::uint32_t>(std::max<std::uint64_t>(1, kPieceBytes / row_bytes));
  for (std::uint32_t row = 0; row < rows; row += step) {
    const auto n = std::min(step, rows - row);
    pieces.push_back({bytes.subspan(row * row_bytes, n * row_bytes), copy, row, n});
  }
}

void WeightStore::run(const Copy& copy, const Piece& piece, std::span<std::byte> rows) {
  const auto& tensor = *copy.tensor;
  auto part = as_matrix(tensor, piece.bytes.data());
  if (copy.type == tensor.type) {
    return copy.accelerator->upload_rows(copy.to, part, piece.first_row, piece.rows);
  }
  const auto row_bytes = model::tensor_bytes(copy.type, tensor.dims[0]).value();
  if (copy.accelerator == nullptr) {
    const std::span to(copy.to + piece.first_row * row_bytes, piece.rows * row_bytes);
    return quantise_rows(tensor.type, piece.bytes, copy.type, to, piece.rows);
  }
  const auto step = static_cast<std::uint32_t>(rows.size() / row_bytes);
  if (step == 0) throw model::UnsupportedModel("tensor " + tensor.name + ": its rows are too long");
  const auto file_row_bytes = piece.bytes.size() / piece.rows;
  part.data = rows.data();
  part.type = static_cast<device::BlockType>(copy.type);
  for (std::uint32_t row = 0; row < piece.rows; row += step) {
    const auto n = std::min(step, piece.rows - row);
    quantise_rows(tensor.type, piece.bytes.subspan(row * file_row_bytes, n * file_row_bytes), copy.type,
                  rows.first(n * row_bytes), n);
    copy.accelerator->upload_rows(copy.to, part, piece.first_row + row, n);
  }
}

void WeightStore::load(std::span<std::byte> rows, const Progress& progress) {
  const auto total_bytes = text_bytes();
  std::uint64_t done_bytes = 0;
  const auto read = [&](const std::vector<Piece>& pieces) {
    std::vector<std::span<const std::byte>> to_read;
    to_read.reserve(pieces.size());
    for (const auto& piece : pieces) to_read.push_back(piece.bytes);
    ReadAhead ahead(std::move(to_read));
    for (const auto& piece : pieces) {
      if (!ahead.next()) throw Error(header_.name + ": cannot be read into memory");
      if (piece.copy != nullptr) {
        run(*piece.copy, piece, rows);
        release(piece.bytes);
      }
      done_bytes += piece.bytes.size();
      if (progress) progress(done_bytes, total_bytes);
    }
  };

  std::vector<Piece> copied;
  for (const auto& copy : copies_) add_pieces(*copy.tensor, &copy, copied);
  read(copied);
  // Reading a piece maps some pages around it too: perhaps of a piece that was done with.
  for (const auto& copy : copies_) release(header_.data(*copy.tensor));
  copies_.clear();

  std::vector<Piece> in_place;
  for (const auto& tensor : header_.tensors) {
    if (is_used_in_place(tensor)) add_pieces(tensor, nullptr, in_place);
  }
  read(in_place);
}

std::uint64_t WeightStore::text_bytes() const {
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
