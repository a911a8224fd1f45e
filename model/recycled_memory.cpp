#include "model/recycled_memory.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <new>
#include <sys/mman.h>

namespace tandem::model {
namespace {

constexpr std::size_t kLeastBytes = 64;
constexpr std::uint8_t kTaken = 0;  // a mark: no free piece begins there; else its order and 1

constexpr std::size_t bytes_of(std::size_t order) noexcept {
  return kLeastBytes << order;
}

/// Of the smallest pieces that `bytes` fit into.
std::size_t order_of(std::size_t bytes) noexcept {
  return static_cast<std::size_t>(std::bit_width((std::max(bytes, kLeastBytes) - 1) / kLeastBytes));
}

}  // namespace

void RecycledMemory::Unmap::operator()(std::byte* at) const noexcept {
  ::munmap(at, bytes);
}

/// Not promised by the system: it may be many times what will be written to.  Nor in huge pages: what is free
/// in between is to stay unwritten.
RecycledMemory::Room RecycledMemory::room_of(std::size_t bytes) {
  constexpr int kUnpromised = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kUnpromised, -1, 0);
  if (at == MAP_FAILED) return Room(nullptr, Unmap{});
  ::madvise(at, bytes, MADV_NOHUGEPAGE);
  return Room(static_cast<std::byte*>(at), Unmap{bytes});
}

RecycledMemory::RecycledMemory(std::size_t room_bytes)
    : room_bytes_(room_bytes / kLeastBytes * kLeastBytes),
      room_(room_of(room_bytes_ + room_bytes_ / kLeastBytes)) {
  if (!room_) room_bytes_ = 0;
  for (std::size_t at = 0; at < room_bytes_;) {
    // The largest piece that ends in the room and begins at a multiple of its size.
    auto order = static_cast<std::size_t>(std::bit_width((room_bytes_ - at) / kLeastBytes)) - 1;
    while (at % bytes_of(order) != 0) --order;
    link(at, order);
    at += bytes_of(order);
  }
}

bool RecycledMemory::is_in_room(const void* at) const noexcept {
  const std::less<const void*> before;
  return !before(at, room_.get()) && before(at, room_.get() + room_bytes_);
}

std::uint8_t& RecycledMemory::mark(std::size_t at) const noexcept {
  return reinterpret_cast<std::uint8_t*>(room_.get())[room_bytes_ + at / kLeastBytes];
}

void RecycledMemory::link(std::size_t at, std::size_t order) noexcept {
  auto& first = free_.at(order);
  auto* const piece = ::new (room_.get() + at) Free{first, nullptr};
  if (first != nullptr) first->before = piece;
  first = piece;
  mark(at) = static_cast<std::uint8_t>(order + 1);
}

void RecycledMemory::unlink(std::size_t at, std::size_t order) noexcept {
  const auto* const piece = std::launder(reinterpret_cast<Free*>(room_.get() + at));
  (piece->before != nullptr ? piece->before->next : free_.at(order)) = piece->next;
  if (piece->next != nullptr) piece->next->before = piece->before;
  mark(at) = kTaken;
}

/// A piece; null if there is none.  Of a larger one, the rest stays free.
std::byte* RecycledMemory::take(std::size_t order) noexcept {
  auto larger = order;
  while (larger < kOrders && free_.at(larger) == nullptr) ++larger;
  if (larger >= kOrders) return nullptr;
  auto* const piece = reinterpret_cast<std::byte*>(free_.at(larger));
  const auto at = static_cast<std::size_t>(piece - room_.get());
  unlink(at, larger);
  while (larger > order) {
    --larger;
    link(at + bytes_of(larger), larger);
  }
  return piece;
}

/// Makes the piece free, together with the other half of the larger one as long as that is free too.
void RecycledMemory::give_back(std::size_t at, std::size_t order) noexcept {
  for (; order + 1 < kOrders; ++order) {
    const auto other = at ^ bytes_of(order);
    if (other >= room_bytes_ || mark(other) != order + 1) break;
    unlink(other, order);
    at = std::min(at, other);
  }
  link(at, order);
}

void* RecycledMemory::do_allocate(std::size_t bytes, std::size_t alignment) {
  const std::lock_guard lock(mutex_);
  in_use_ += bytes;
  if (alignment <= alignof(std::max_align_t)) {
    if (auto* const piece = take(order_of(bytes))) return piece;
  }
  return std::pmr::get_default_resource()->allocate(bytes, alignment);
}

void RecycledMemory::do_deallocate(void* at, std::size_t bytes, std::size_t alignment) {
  const std::lock_guard lock(mutex_);
  in_use_ -= bytes;
  if (!is_in_room(at)) return std::pmr::get_default_resource()->deallocate(at, bytes, alignment);
  give_back(static_cast<std::size_t>(static_cast<std::byte*>(at) - room_.get()), order_of(bytes));
}

}  // namespace tandem::model
