#include "bench/model_writer.h"

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <fcntl.h>
#include <mutex>
#include <system_error>
#include <thread>
#include <unistd.h>
#include <vector>

#include "bench/random_blocks.h"
#include "bench/synthetic_vocabulary.h"
#include "bench/weights.h"
#include "model/error.h"
#include "model/gguf.h"

namespace tandem::bench {
namespace {

constexpr std::uint64_t kChunkBytes = 4 << 20;

/// A file being written under a temporary name; removed unless it is published.
class OutputFile {
 public:
  OutputFile(std::filesystem::path path, std::uint64_t size_bytes) : path_(std::move(path)), part_(path_) {
    part_ += ".part";
    fd_ = ::open(part_.c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644);
    if (fd_ < 0) fail("cannot create", errno);
    // Reserves the space now, so that a full disk is found before the work is done.
    const int error = ::posix_fallocate(fd_, 0, static_cast<off_t>(size_bytes));
    if (error == 0) return;
    discard();
    fail("cannot reserve " + std::to_string(size_bytes) + " bytes", error);
  }
  OutputFile(const OutputFile&) = delete;
  OutputFile& operator=(const OutputFile&) = delete;
  ~OutputFile() {
    if (fd_ >= 0) discard();
  }

  void write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    while (!bytes.empty()) {
      const auto written = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) fail("cannot write", errno);
      bytes = bytes.subspan(static_cast<std::size_t>(written));
      offset += static_cast<std::uint64_t>(written);
    }
  }

  void publish() {
    const int closed = ::close(std::exchange(fd_, -1));
    if (closed != 0 || ::rename(part_.c_str(), path_.c_str()) != 0) fail("cannot finish", errno);
  }

 private:
  void discard() noexcept {
    ::close(std::exchange(fd_, -1));
    ::unlink(part_.c_str());
  }

  [[noreturn]] void fail(const std::string& what, int error) const {
    throw Error(part_.string() + ": " + what + ": " + std::generic_category().message(error));
  }

  std::filesystem::path path_;
  std::filesystem::path part_;
  int fd_ = -1;
};

/// A piece of a matrix, written by one thread: whole blocks, about kChunkBytes.
struct Chunk {
  const model::TensorInfo* tensor;
  std::uint64_t begin_bytes;  ///< from the tensor's start
  std::uint64_t size_bytes;
};

std::vector<Chunk> matrix_chunks(const model::Header& header) {
  std::vector<Chunk> chunks;
  for (const auto& tensor : header.tensors) {
    if (tensor.n_dims == 1) continue;
    const std::uint64_t block_bytes = model::tensor_type_info(tensor.type).block_bytes;
    const auto step = kChunkBytes / block_bytes * block_bytes;
    for (std::uint64_t at = 0; at < tensor.size_bytes; at += step) {
      chunks.push_back({&tensor, at, std::min(step, tensor.size_bytes - at)});
    }
  }
  return chunks;
}

/// Does not depend on which thread writes what.
std::uint64_t chunk_seed(std::uint64_t seed, std::uint64_t file_offset) {
  return Random(seed ^ Random(file_offset).next()).next();
}

void write_chunks(const OutputFile& file, const std::vector<Chunk>& chunks, std::uint64_t seed,
                  std::atomic<std::size_t>& next) {
  std::vector<std::byte> buffer(kChunkBytes);
  for (auto i = next++; i < chunks.size(); i = next++) {
    const auto& chunk = chunks[i];
    const auto offset = chunk.tensor->offset_bytes + chunk.begin_bytes;
    const auto bytes = std::span(buffer).first(chunk.size_bytes);
    fill_random_blocks(chunk.tensor->type, matrix_deviation(*chunk.tensor), chunk_seed(seed, offset), bytes);
    file.write(offset, bytes);
  }
}

void write_matrices(const OutputFile& file, const model::Header& header, std::uint64_t seed,
                    unsigned threads) {
  const auto chunks = matrix_chunks(header);
  std::atomic<std::size_t> next = 0;
  std::mutex failure_mutex;
  std::exception_ptr failure;
  std::vector<std::thread> team;
  for (unsigned i = 0; i < std::max(threads, 1U); ++i) {
    team.emplace_back([&] {
      try {
        write_chunks(file, chunks, seed, next);
      } catch (...) {
        next = chunks.size();  // the others need not go on
        const std::lock_guard lock(failure_mutex);
        failure = std::current_exception();
      }
    });
  }
  for (auto& thread : team) thread.join();
  if (failure) std::rethrow_exception(failure);
}

void write_vectors(const OutputFile& file, const model::Header& header, std::uint64_t seed) {
  const auto hyperparameters = model::read_hyperparameters(header);
  for (const auto& tensor : header.tensors) {
    if (tensor.n_dims != 1) continue;
    const auto values = vector_weights(tensor, hyperparameters, chunk_seed(seed, tensor.offset_bytes));
    file.write(tensor.offset_bytes, std::as_bytes(std::span(values)));
  }
}

}  // namespace

std::string make_header(const RandomModel& random_model) {
  model::GgufWriter writer;
  model::write_model(writer, random_model.shape, random_model.recipe);
  if (random_model.vocabulary == VocabularyKind::synthetic) {
    const auto family = random_model.shape.family;
    write_synthetic_vocabulary(writer, family, make_synthetic_vocabulary(family, random_model.shape.vocab));
  }
  writer.add_bool("tandem.noise", true);  // the daemon tells clients
  return writer.header();
}

void write_header_file(const std::filesystem::path& path, const RandomModel& random_model) {
  const auto bytes = make_header(random_model);
  OutputFile file(path, bytes.size());
  file.write(0, std::as_bytes(std::span(bytes)));
  file.publish();
}

void write_model_file(const std::filesystem::path& path, const RandomModel& random_model, unsigned threads) {
  const auto bytes = make_header(random_model);
  const auto header = model::parse_header(path.string(), std::as_bytes(std::span(bytes)), nullptr);
  std::uint64_t file_bytes = bytes.size();
  for (const auto& tensor : header.tensors) {
    file_bytes = std::max(file_bytes, tensor.offset_bytes + tensor.size_bytes);
  }
  OutputFile file(path, file_bytes);
  file.write(0, std::as_bytes(std::span(bytes)));
  write_vectors(file, header, random_model.seed);
  write_matrices(file, header, random_model.seed, threads);
  file.publish();
}

}  // namespace tandem::bench
