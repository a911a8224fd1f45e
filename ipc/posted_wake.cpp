#include "ipc/posted_wake.h"

#include <array>
#include <atomic>
#include <cstddef>
#include <new>
#include <utility>

#include <boost/asio/post.hpp>

namespace tandem::ipc {
namespace {

namespace asio = boost::asio;

/// One call that may be on its way, and room for what asio makes of it.
struct Call {
  std::function<void()> wake;
  std::atomic<bool> posted{false};
  std::atomic<bool> room_taken{false};
  alignas(std::max_align_t) std::array<std::byte, 256> room;
};

/// Gives out the room of a call, which lives until it is given back.
template <class T>
class CallAllocator {
 public:
  using value_type = T;

  explicit CallAllocator(std::shared_ptr<Call> call) noexcept : call_(std::move(call)) {}
  template <class U>
  CallAllocator(const CallAllocator<U>& other) noexcept : call_(other.call()) {}

  T* allocate(std::size_t n) {
    const auto bytes = n * sizeof(T);
    if (bytes > call_->room.size() || call_->room_taken.exchange(true)) {
      return static_cast<T*>(::operator new(bytes));
    }
    return reinterpret_cast<T*>(call_->room.data());
  }

  void deallocate(T* memory, std::size_t) noexcept {
    if (reinterpret_cast<std::byte*>(memory) == call_->room.data()) {
      call_->room_taken = false;
    } else {
      ::operator delete(memory);
    }
  }

  [[nodiscard]] const std::shared_ptr<Call>& call() const noexcept { return call_; }

  template <class U>
  bool operator==(const CallAllocator<U>& other) const noexcept {
    return call_ == other.call();
  }

 private:
  std::shared_ptr<Call> call_;
};

/// What asio runs.
struct Handler {
  using allocator_type = CallAllocator<std::byte>;

  std::shared_ptr<Call> call;

  [[nodiscard]] allocator_type get_allocator() const noexcept { return allocator_type(call); }

  void operator()() const {
    call->posted = false;
    call->wake();
  }
};

}  // namespace

Wake posted_wake(std::shared_ptr<asio::io_context> io, std::function<void()> wake) {
  auto call = std::make_shared<Call>();
  call->wake = std::move(wake);
  return [io = std::move(io), call = std::move(call)] {
    if (!call->posted.exchange(true)) asio::post(*io, Handler{call});
  };
}

}  // namespace tandem::ipc
