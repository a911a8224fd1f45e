#include "memory/weight_store.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "memory/errors.h"
#include "memory/in_parallel.h"
#include "memory/pages.h"
#include "model/error.h"
#include "model/inventory.h"
#include "model/quantise.h"

namespace tandem::memory {
namespace {

/// What kernels need of a tensor's address.
constexpr std::uint64_t kTensorAlignmentBytes = 4;

/// Bytes that a thread takes on at once, more only where a row is longer, or rows that are repacked together.
constexpr std::uint64_t kPieceBytes = 2U << 20;

/// Of them, those that are read at once on their way to another type or layout: a core's cache holds them.
constexpr std::uint64_t kReadBytes = 256U << 10;

/// More fill pinned memory no faster than PCIe empties it.
constexpr std::uint64_t kMostUploadThreads = 8;

/// Less is not worth one more of them.
constexpr std::uint64_t kBytesWorthAThread = 16U << 20;

device::Matrix as_matrix(const model::TensorInfo& tensor, const std::byte* data) {
  return {data, static_cast<device::BlockType>(tensor.type), static_cast<std::uint32_t>(tensor.dims[0]),
          static_cast<std::uint32_t>(tensor.dims[1])};
}

/// Ranges of rows begin at multiples of it.
std::uint32_t row_step(const device::Repacker* repacker) noexcept {
  return repacker == nullptr ? 1 : repacker->row_step();
}

/// Rows of `row_bytes` bytes that lie within `bytes`, a multiple of `step` and at least that.
std::uint32_t rows_within(std::uint64_t bytes, std::uint64_t row_bytes, std::uint32_t step) noexcept {
  return step * static_cast<std::uint32_t>(std::max<std::uint64_t>(1, bytes / step / row_bytes));
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

void WeightStore::add_pieces(const Copy& copy, std::vector<Piece>& pieces) {
  const auto& tensor = *copy.tensor;
  const auto rows = static_cast<std::uint32_t>(tensor.elems() / tensor.dims[0]);
  const auto row_bytes = tensor.size_bytes / rows;
  const auto step = rows_within(kPieceBytes, row_bytes, row_step(copy.repacker));
  for (std::uint32_t row = 0; row < rows; row += step) {
    pieces.push_back({&copy, row, std::min(step, rows - row), row_bytes});
  }
}

/// How many of `threads` threads upload `pieces`.
unsigned WeightStore::upload_threads(const std::vector<Piece>& pieces, unsigned threads) {
  std::uint64_t bytes = 0;
  for (const auto& piece : pieces) bytes += piece.bytes();
  const auto worth = std::min(1 + bytes / kBytesWorthAThread, kMostUploadThreads);
  return std::min(threads, static_cast<unsigned>(worth));
}

/// The piece's rows as in the file, in `memory`.
std::span<const std::byte> WeightStore::read(const Piece& piece, std::vector<std::byte>& memory) const {
  memory.resize(std::max<std::size_t>(memory.size(), piece.bytes()));
  const auto bytes = std::span(memory).first(piece.bytes());
  header_.read(*piece.copy->tensor, piece.first_row * piece.row_bytes, bytes);
  return bytes;
}

/// Rows to an accelerator, as they are.
void WeightStore::upload(const Piece& piece) const {
  const auto& copy = *piece.copy;
  const auto read = [&](std::uint64_t at, std::byte* to, std::uint64_t bytes) {
    header_.read(*copy.tensor, piece.first_row * piece.row_bytes + at, {to, bytes});
  };
  copy.accelerator->upload_rows(copy.to, as_matrix(*copy.tensor, nullptr), piece.first_row, piece.rows, read);
}

/// Rows to an accelerator in another type, as many at a time as `rows` holds.
void WeightStore::upload_quantised(const Piece& piece, std::span<std::byte> rows, unsigned threads) const {
  const auto& copy = *piece.copy;
  const auto& tensor = *copy.tensor;
  const auto row_bytes = model::tensor_bytes(copy.type, tensor.dims[0]).value();
  const auto step = static_cast<std::uint32_t>(rows.size() / row_bytes);
  if (step == 0) throw model::UnsupportedModel("tensor " + tensor.name + ": its rows are too long");
  auto shape = as_matrix(tensor, nullptr);
  shape.type = static_cast<device::BlockType>(copy.type);
  const auto from_rows = [&](std::uint64_t at, std::byte* to, std::uint64_t bytes) {
    std::ranges::copy(rows.subspan(at, bytes), to);
  };
  for (std::uint32_t row = 0; row < piece.rows; row += step) {
    const auto n = std::min(step, piece.rows - row);
    const auto quantise = [&](std::size_t i) {
      thread_local std::vector<std::byte> memory;  // this thread's as long as it quantises
      const auto from = read(piece.part(row + static_cast<std::uint32_t>(i), 1), memory);
      quantise_rows(tensor.type, from, copy.type, rows.subspan(i * row_bytes, row_bytes), 1);
    };
    in_parallel(threads, n, quantise, [](std::size_t) {});
    copy.accelerator->upload_rows(copy.to, shape, piece.first_row + row, n, from_rows);
  }
}

/// Rows into another type, another layout or both, on the CPU.
void WeightStore::convert(const Piece& piece) const {
  const auto& copy = *piece.copy;
  const auto row_bytes = model::tensor_bytes(copy.type, copy.tensor->dims[0]).value();
  const std::span to(copy.to + piece.first_row * row_bytes, piece.rows * row_bytes);
  if (!populate_for_writing(to)) {
    throw OutOfMemory(
        "tensor " + copy.tensor->name + ": no memory behind " + std::to_string(to.size()) + " bytes",
        "plan with a smaller --ram, or --cpu-weights mapped");
  }
  const auto step = rows_within(kReadBytes, piece.row_bytes, row_step(copy.repacker));
  for (std::uint32_t row = 0; row < piece.rows; row += step) {
    convert_rows(piece.part(row, std::min(step, piece.rows - row)), to.data() + row * row_bytes);
  }
}

/// So many of them as are read at once, the first of which are to lie at `to` unless they are repacked.
void WeightStore::convert_rows(const Piece& piece, std::byte* to) const {
  const auto& copy = *piece.copy;
  const auto& tensor = *copy.tensor;
  const auto row_bytes = model::tensor_bytes(copy.type, tensor.dims[0]).value();
  thread_local std::vector<std::byte> memory;  // both are this thread's as long as it loads
  thread_local std::vector<std::byte> quantised;
  const auto from = read(piece, memory);
  auto part = as_matrix(tensor, from.data());
  if (copy.is_quantised()) {
    if (copy.repacker != nullptr) {
      quantised.resize(piece.rows * row_bytes);
      to = quantised.data();
    }
    quantise_rows(tensor.type, from, copy.type, {to, piece.rows * row_bytes}, piece.rows);
    part.data = to;
    part.type = static_cast<device::BlockType>(copy.type);
  }
  if (copy.repacker != nullptr) copy.repacker->repack_rows(copy.to, part, piece.first_row, piece.rows);
}

/// Brings what is used in place into memory.  What the page cache lacks is read first, for nothing but that:
/// storage gives it faster to those who read than to those who map it or ask for it ahead.
void WeightStore::bring_into_memory(unsigned threads,
                                    const std::function<void(std::uint64_t)>& report) const {
  struct Part {
    const model::TensorInfo* tensor = nullptr;
    std::uint64_t at = 0;
    std::uint64_t bytes = 0;
  };
  std::vector<Part> parts;
  for (const auto& tensor : header_.tensors) {
    if (!is_used_in_place(tensor)) continue;
    for (std::uint64_t at = 0; at < tensor.size_bytes; at += kPieceBytes) {
      parts.push_back({&tensor, at, std::min(kPieceBytes, tensor.size_bytes - at)});
    }
  }
  const auto read = [&](const Part& part) {
    thread_local std::vector<std::byte> memory(kReadBytes);  // this thread's as long as it loads
    for (std::uint64_t at = 0; at < part.bytes; at += kReadBytes) {
      header_.read(*part.tensor, part.at + at,
                   std::span(memory).first(std::min(kReadBytes, part.bytes - at)));
    }
  };
  const auto bring = [&](std::size_t i) {
    const auto& part = parts[i];
    const auto mapped = header_.data(*part.tensor).subspan(part.at, part.bytes);
    if (!is_cached(mapped)) read(part);
    if (populate_for_reading(mapped)) return;
    read(part);  // says why, where it cannot be read
    throw OutOfMemory("tensor " + part.tensor->name + ": no memory to have it in, as it is in the file",
                      "plan with a smaller --ram");
  };
  in_parallel(threads, parts.size(), bring, [&](std::size_t i) { report(parts[i].bytes); });
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
    add_pieces(copy, copy.accelerator == nullptr ? converted
                     : copy.is_quantised()       ? uploaded_in_turn
                                                 : uploaded);
  }
  const auto for_all = [&](const std::vector<Piece>& pieces, unsigned n_threads, const auto& work) {
    in_parallel(
        n_threads, pieces.size(), [&](std::size_t i) { work(pieces[i]); },
        [&](std::size_t i) { report(pieces[i].bytes()); });
  };
  for_all(uploaded, upload_threads(uploaded, threads), [&](const Piece& piece) { upload(piece); });
  for_all(uploaded_in_turn, 1, [&](const Piece& piece) {
    upload_quantised(piece, rows, threads);  // all threads work on a piece, in the same `rows`
  });
  for_all(converted, threads, [&](const Piece& piece) { convert(piece); });
  // Pages around what is used in place are mapped with it: megabytes around each small tensor, where the page
  // cache has huge pages.
  for (const auto& copy : copies_) {
    release(header_.data(*copy.tensor));
    want_small_pages(header_.data(*copy.tensor));
  }
  copies_.clear();
  bring_into_memory(threads, report);
  header_.check_unchanged();
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
