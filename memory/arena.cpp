#include "memory/arena.h"

#include <algorithm>
#include <cerrno>
#include <string>
#include <sys/mman.h>
#include <system_error>

#include "memory/errors.h"
#include "memory/in_parallel.h"
#include "memory/pages.h"
#include "model/checked.h"

namespace tandem::memory {
namespace {

std::string name_of(const planner::ArenaPlan& line) {
  return "arena " + std::string(planner::to_string(line.purpose)) + " on " +
         std::string(planner::to_string(line.device));
}

/// Zeroed host memory; the kernel rounds `bytes` up to pages.
std::byte* map_host(const planner::ArenaPlan& line, std::uint64_t bytes) {
  if (bytes == 0) return nullptr;
  void* base = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) {
    throw OutOfMemory(name_of(line) + ": " + std::to_string(bytes) +
                          " bytes refused: " + std::generic_category().message(errno),
                      "plan with a smaller --ram, --context or --sequences");
  }
  if (bytes >= kHugePageBytes) want_huge_pages({static_cast<std::byte*>(base), bytes});
  return static_cast<std::byte*>(base);
}

constexpr std::uint64_t kPrefaultPieceBytes = std::uint64_t{32} << 20;

}  // namespace

void Arena::Unmap::operator()(std::byte* base) const noexcept {
  munmap(base, bytes);
}

Arena::Arena(const planner::ArenaPlan& line, std::uint64_t own_bytes)
    : line_(line),
      own_bytes_(own_bytes),
      mapped_(map_host(line, own_bytes), Unmap{own_bytes}),
      base_(mapped_.get()) {}

Arena::Arena(const planner::ArenaPlan& line, std::byte* lent)
    : line_(line), own_bytes_(line.bytes), mapped_(nullptr, Unmap{}), base_(lent) {}

Arena Arena::host(const planner::ArenaPlan& line) {
  return {line, line.bytes};
}

Arena Arena::lent(const planner::ArenaPlan& line, std::byte* memory) {
  return {line, memory};
}

Arena Arena::around_file(const planner::ArenaPlan& line, std::uint64_t own_bytes) {
  if (own_bytes > line.bytes) {
    throw PlanViolated(name_of(line) + ": " + std::to_string(own_bytes) + " bytes needed beside the file, " +
                       std::to_string(line.bytes) + " planned in all");
  }
  return {line, own_bytes};
}

LedgerLine Arena::ledger_line() const noexcept {
  return {line_.device, line_.purpose, line_.bytes, own_bytes_ + adopted_bytes_,
          taken_bytes_ + last_bytes_ + adopted_bytes_};
}

std::span<std::byte> Arena::take(std::uint64_t bytes) {
  const auto left_bytes = own_bytes_ - taken_bytes_ - last_bytes_;
  const auto padded_bytes = model::checked_align_up(bytes, planner::kBufferAlignmentBytes);
  if (!padded_bytes || *padded_bytes > left_bytes) refuse(bytes, left_bytes);
  std::byte* piece = base_ + taken_bytes_;
  taken_bytes_ += *padded_bytes;
  return {piece, bytes};
}

std::span<std::byte> Arena::take_last(std::uint64_t bytes) {
  const auto left_bytes = own_bytes_ - taken_bytes_ - last_bytes_;
  if (bytes > left_bytes) refuse(bytes, left_bytes);
  last_bytes_ += bytes;
  return {base_ + (own_bytes_ - last_bytes_), bytes};
}

void Arena::refuse(std::uint64_t bytes, std::uint64_t left_bytes) const {
  throw PlanViolated(name_of(line_) + ": " + std::to_string(bytes) + " bytes asked for, " +
                     std::to_string(left_bytes) + " of " + std::to_string(own_bytes_) + " left");
}

void Arena::adopt(std::uint64_t bytes) {
  const auto left_bytes = line_.bytes - own_bytes_ - adopted_bytes_;
  if (bytes > left_bytes) {
    throw PlanViolated(name_of(line_) + ": " + std::to_string(bytes) + " bytes of the model file, " +
                       std::to_string(left_bytes) + " of " + std::to_string(line_.bytes) + " left");
  }
  adopted_bytes_ += bytes;
}

void Arena::prefault(unsigned threads) const {
  if (mapped_ == nullptr) return;
  const auto bytes = prefaulted_bytes();
  const auto pieces = (bytes + kPrefaultPieceBytes - 1) / kPrefaultPieceBytes;
  const auto touch = [&](std::size_t i) {
    const auto first = i * kPrefaultPieceBytes;
    if (populate_for_writing({base_ + first, std::min(kPrefaultPieceBytes, bytes - first)})) return;
    throw OutOfMemory(name_of(line_) + ": no memory behind " + std::to_string(own_bytes_) + " bytes",
                      "plan with a smaller --ram, --context or --sequences");
  };
  in_parallel(threads, pieces, touch, [](std::size_t) {});
}

}  // namespace tandem::memory
