#include "model/recycled_memory.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <new>
#include <sys/mman.h>

namespace tandem::model {
namespace {

constexpr std::size_t kLeastBytes = 64;
constexpr std::size_t kSteps = 2;  // sizes of pieces are powers of two, and one and a half times those

/// Pieces of one size.
struct SizeClass {
  std::size_t number;
  std::size_t bytes;
};

/// The smallest pieces that `bytes` fit into.
SizeClass class_of(std::size_t bytes) noexcept {
  const auto wanted = std::max(bytes, kLeastBytes);
  const auto power = std::bit_ceil(wanted);
  const auto exponent = static_cast<std::size_t>(std::bit_width(power / kLeastBytes) - 1);
  const auto between = power / 4 * 3;
  if (wanted <= between && between >= kLeastBytes) return {kSteps * exponent - 1, between};
  return {kSteps * exponent, power};
}

}  // namespace

void RecycledMemory::Unmap::operator()(std::byte* at) const noexcept {
  ::munmap(at, bytes);
}

/// Not promised by the system: it may be many times what will be written to.
RecycledMemory::Room RecycledMemory::room_of(std::size_t bytes) {
  constexpr int kUnpromised = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kUnpromised, -1, 0);
  return Room(at == MAP_FAILED ? nullptr : static_cast<std::byte*>(at), Unmap{bytes});
}

RecycledMemory::RecycledMemory(std::size_t room_bytes)
    : room_(room_of(room_bytes)), room_bytes_(room_ ? room_bytes : 0) {}

bool RecycledMemory::is_in_room(const void* at) const noexcept {
  const std::less<const void*> before;
  return !before(at, room_.get()) && before(at, room_.get() + room_bytes_);
}

void* RecycledMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
  const auto size = class_of(bytes);
  if (alignment <= alignof(std::max_align_t) && size.number < kClasses) {
    const std::lock_guard lock(mutex_);
    if (auto* const known = free_.at(size.number)) {
      free_.at(size.number) = known->next;
      return known;
    }
    if (size.bytes <= room_bytes_ - used_bytes_) {
      auto* const at = room_.get() + used_bytes_;
      used_bytes_ += size.bytes;
      return at;
    }
  }
  return std::pmr::get_default_resource()->allocate(bytes, alignment);
}

void RecycledMemory::do_deallocate(void* at, std::size_t bytes, std::size_t alignment) {
  if (!is_in_room(at)) return std::pmr::get_default_resource()->deallocate(at, bytes, alignment);
  const std::lock_guard lock(mutex_);
  auto& first = free_.at(class_of(bytes).number);
  first = ::new (at) Free{first};
}

}  // namespace tandem::model
