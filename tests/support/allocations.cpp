#include "tests/support/allocations.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <execinfo.h>
#include <new>

namespace tandem::test_support {
namespace {

std::atomic<bool> counting{false};
std::atomic<std::uint64_t> counted{0};
std::atomic<bool (*)() noexcept> is_exempt{nullptr};
std::array<void*, 24> first_frames{};
std::atomic<int> first_depth{0};

void note() noexcept {
  if (!counting.load(std::memory_order_relaxed) || is_exempt.load()()) return;
  if (counted.fetch_add(1) > 0) return;
  first_depth = backtrace(first_frames.data(), static_cast<int>(first_frames.size()));
}

void* allocated(std::size_t bytes) noexcept {
  note();
  return std::malloc(std::max<std::size_t>(bytes, 1));
}

void* allocated(std::size_t bytes, std::align_val_t alignment) noexcept {
  note();
  const auto step = std::max(static_cast<std::size_t>(alignment), sizeof(void*));
  return std::aligned_alloc(step, std::max<std::size_t>(bytes + step - 1, step) / step * step);
}

template <class... Arguments>
void* allocated_or_throw(Arguments... arguments) {
  if (void* memory = allocated(arguments...)) return memory;
  throw std::bad_alloc();
}

}  // namespace

void Allocations::start(bool (*exempt)() noexcept) noexcept {
  std::array<void*, 1> loads_what_backtraces_need{};
  backtrace(loads_what_backtraces_need.data(), 1);
  is_exempt = exempt;
  counted = 0;
  first_depth = 0;
  counting = true;
}

void Allocations::stop() noexcept {
  counting = false;
}

std::uint64_t Allocations::count() noexcept {
  return counted;
}

std::string Allocations::first() {
  std::string frames;
  char** const names = backtrace_symbols(first_frames.data(), first_depth);
  for (int i = 0; i < first_depth; ++i) frames += std::string(names[i]) + "\n";
  std::free(static_cast<void*>(names));
  return frames;
}

}  // namespace tandem::test_support

using tandem::test_support::allocated;
using tandem::test_support::allocated_or_throw;

void* operator new(std::size_t bytes) {
  return allocated_or_throw(bytes);
}
void* operator new[](std::size_t bytes) {
  return allocated_or_throw(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return allocated_or_throw(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment) {
  return allocated_or_throw(bytes, alignment);
}
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocated(bytes);
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return allocated(bytes);
}
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocated(bytes, alignment);
}
void* operator new[](std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  return allocated(bytes, alignment);
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
