#include "memory/weight_store.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "memory/errors.h"
#include "memory/in_parallel.h"
#include "memory/pages.h"
#include "memory/read_ahead.h"
#include "model/error.h"
#include "model/inventory.h"
#include "model/quantise.h"

namespace tandem::memory {
namespace {

/// What kernels need of a tensor's address.
constexpr std::uint64_t kTensorAlignmentBytes = 4;

/// Bytes that are read at once, more only where a row is longer, or rows that are repacked together.
constexpr std::uint64_t kPieceBytes = 2U << 20;

/// More fill pinned memory no faster than PCIe empties it, and each has a piece of the file in memory.
constexpr std::uint64_t kMostUploadThreads = 8;

/// Less is not worth one more of them.
constexpr std::uint64_t kBytesWorthAThread = 16U << 20;

device::Matrix as_matrix(const model::TensorInfo& tensor, const std::byte* data) {
  return {data, static_cast<device::BlockType>(tensor.type), static_cast<std::uint32_t>(tensor.dims[0]),
          static_cast<std::uint32_t>(tensor.dims[1])};
}

/// `from`, `rows` rows of a float type, stored as `type` in `to`.
void quantise_rows(model::TensorType float_type, std::span<const std::byte> from, model::TensorType type,
                   std::span<std::byte> to, std::uint32_t rows) {
  const auto from_bytes = from.size() / rows;
  const auto to_bytes = to.size() / rows;
  for (std::uint32_t row = 0; row < rows; ++row) {
    model::quantise_row(float_type, from.subspan(row * from_bytes, from_bytes), type,
                        to.subspan(row * to_bytes, to_bytes));
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
  if (copy.repacker != nullptr) matrix.layout = copy.repacker->layout();
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

device::Matrix WeightStore::repacked(const device::Repacker& repacker, std::string_view name, std::byte* to) {
  const auto& found = tensor(name);
  static_cast<void>(data(found));
  return copied({nullptr, &found, to, found.type, &repacker});
}

device::Matrix WeightStore::quantised(std::string_view name, model::TensorType type, Arena& arena,
                                      const device::Repacker* repacker) {
  auto copy = quantised_copy(nullptr, name, type, arena);
  const auto there = shape(name);
  const auto stored_as = static_cast<device::BlockType>(type);
  if (repacker != nullptr && repacker->repacks(stored_as, there.in, there.out)) copy.repacker = repacker;
  return copied(copy);
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

device::Matrix WeightStore::shape(std::string_view name) const {
  return as_matrix(tensor(name), nullptr);
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
  const auto unit = copy != nullptr && copy->repacker != nullptr ? copy->repacker->row_step() : 1;
  const auto step =
      unit * static_cast<std::uint32_t>(std::max<std::uint64_t>(1, kPieceBytes / unit / row_bytes));
  for (std::uint32_t row = 0; row < rows; row += step) {
    const auto n = std::min(step, rows - row);
    pieces.push_back({bytes.subspan(row * row_bytes, n * row_bytes), copy, row, n});
  }
}

/// Rows of a piece to an accelerator.
void WeightStore::upload(const Copy& copy, const Piece& piece, std::span<std::byte> rows, unsigned threads) {
  const auto& tensor = *copy.tensor;
  auto part = as_matrix(tensor, piece.bytes.data());
  if (!copy.is_quantised()) {
    return copy.accelerator->upload_rows(copy.to, part, piece.first_row, piece.rows);
  }
  const auto row_bytes = model::tensor_bytes(copy.type, tensor.dims[0]).value();
  const auto step = static_cast<std::uint32_t>(rows.size() / row_bytes);
  if (step == 0) throw model::UnsupportedModel("tensor " + tensor.name + ": its rows are too long");
  const auto file_row_bytes = piece.bytes.size() / piece.rows;
  part.data = rows.data();
  part.type = static_cast<device::BlockType>(copy.type);
  for (std::uint32_t row = 0; row < piece.rows; row += step) {
    const auto n = std::min(step, piece.rows - row);
    const auto quantise = [&](std::size_t i) {
      quantise_rows(tensor.type, piece.bytes.subspan((row + i) * file_row_bytes, file_row_bytes), copy.type,
                    rows.subspan(i * row_bytes, row_bytes), 1);
    };
    in_parallel(threads, n, quantise, [](std::size_t) {});
    copy.accelerator->upload_rows(copy.to, part, piece.first_row + row, n);
  }
}

/// Rows of a piece into another type, another layout or both, on the CPU.
void WeightStore::convert(const Copy& copy, const Piece& piece) {
  const auto& tensor = *copy.tensor;
  const auto row_bytes = model::tensor_bytes(copy.type, tensor.dims[0]).value();
  const std::span to(copy.to + piece.first_row * row_bytes, piece.rows * row_bytes);
  if (!populate_for_writing(to)) {
    throw OutOfMemory("tensor " + tensor.name + ": no memory behind " + std::to_string(to.size()) + " bytes",
                      "plan with a smaller --ram, or --cpu-weights mapped");
  }
  if (copy.repacker == nullptr) return quantise_rows(tensor.type, piece.bytes, copy.type, to, piece.rows);
  auto part = as_matrix(tensor, piece.bytes.data());
  std::vector<std::byte> quantised;
  if (copy.is_quantised()) {
    quantised.resize(to.size());
    quantise_rows(tensor.type, piece.bytes, copy.type, quantised, piece.rows);
    part.data = quantised.data();
    part.type = static_cast<device::BlockType>(copy.type);
  }
  copy.repacker->repack_rows(copy.to, part, piece.first_row, piece.rows);
}

/// How many of `threads` threads upload `pieces`.
unsigned WeightStore::upload_threads(const std::vector<Piece>& pieces, unsigned threads) {
  std::uint64_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.bytes.size();
  const auto worth = std::min(1 + bytes / kBytesWorthAThread, kMostUploadThreads);
  return std::min(threads, static_cast<unsigned>(worth));
}

/// Brings pieces into memory and calls work(piece) then, both on `threads` threads, and report(bytes) on this
/// one.
void WeightStore::read(const std::vector<Piece>& pieces, unsigned threads,
                       const std::function<void(const Piece&)>& work,
                       const std::function<void(std::uint64_t)>& report) const {
  std::vector<std::span<const std::byte>> to_read;
  to_read.reserve(pieces.size());
  for (const auto& piece : pieces) to_read.push_back(piece.bytes);
  ReadAhead ahead(std::move(to_read));
  in_parallel(
      threads, pieces.size(),
      [&](std::size_t i) {
        if (!ahead.bring(i)) throw Error(header_.name + ": cannot be read into memory");
        work(pieces[i]);
      },
      [&](std::size_t i) { report(pieces[i].bytes.size()); });
}

void WeightStore::load(std::span<std::byte> rows, unsigned threads, const Progress& progress) {
  const auto total_bytes = text_bytes();
  std::uint64_t done_bytes = 0;
  const auto report = [&](std::uint64_t bytes) {
    done_bytes += bytes;
    if (progress) progress(done_bytes, total_bytes);
  };

  std::vector<Piece> uploaded;
  std::vector<Piece> uploaded_in_turn;
  std::vector<Piece> converted;
  for (const auto& copy : copies_) {
    auto& pieces = copy.accelerator == nullptr ? converted
                   : copy.is_quantised()       ? uploaded_in_turn
                                               : uploaded;
    add_pieces(*copy.tensor, &copy, pieces);
  }
  const auto upload_piece = [&](const Piece& piece) {
    upload(*piece.copy, piece, rows, threads);
    release(piece.bytes);
  };
  read(uploaded, upload_threads(uploaded, threads), upload_piece, report);
  read(uploaded_in_turn, 1, upload_piece, report);  // all threads work on a piece, in the same `rows`
  read(
      converted, threads,
      [](const Piece& piece) {
        convert(*piece.copy, piece);
        release(piece.bytes);
      },
      report);
  // Reading a piece maps some pages around it too, perhaps of a piece that was done with: megabytes around
  // each of the small tensors that stay, where the page cache has huge pages.
  for (const auto& copy : copies_) {
    release(header_.data(*copy.tensor));
    want_small_pages(header_.data(*copy.tensor));
  }
  copies_.clear();

  std::vector<Piece> in_place;
  for (const auto& tensor : header_.tensors) {
    if (is_used_in_place(tensor)) add_pieces(tensor, nullptr, in_place);
  }
  read(
      in_place, threads, [](const Piece&) {}, report);
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
