#include "backends/cuda/emulation/device_state.h"

#include <algorithm>
#include <cstring>
#include <new>
#include <utility>

namespace tandem::cuda {

using emulation::Access;
using emulation::GuardedBytes;
using emulation::MemoryKind;

class Device::State::Window {
 public:
  explicit Window(State& device) : device_(device) {
    if (!device_.options_.guarded) return;
    for (const auto& memory : device_.device_memory_) memory.set_access(Access::read_write);
    for (const auto& memory : device_.pinned_memory_) memory.set_access(Access::read_write);
  }
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window() {
    if (!device_.options_.guarded) return;
    for (const auto& memory : device_.device_memory_) memory.set_access(Access::none);
    device_.protect_pinned();
  }

 private:
  State& device_;
};

Stream::State::State(Device::State& its_device) : device(its_device) {
  device.open(*this);
}

Stream::State::~State() {
  device.close(*this);
}

Device::State::State(const emulation::Options& options)
    : options_(options), random_(options.seed), runner_(std::max(1u, options.threads)) {
  if (options.driver_bytes > options.memory_bytes)
    throw DeviceError("device memory: too little for the driver");
}

std::byte* Device::State::allocate(std::size_t bytes, MemoryKind kind) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  begin_call("allocation");
  ++counts_.allocations;
  if (kind == MemoryKind::device) check_room(bytes);
  try {
    auto& list = kind == MemoryKind::device ? device_memory_ : pinned_memory_;
    const auto& memory = list.emplace_back(bytes, kind);
    if (kind == MemoryKind::device) {
      used_bytes_ += bytes;
      std::memset(memory.data(), 0xff, bytes);  // nobody may expect anything of it: NaN
      if (options_.guarded) memory.set_access(Access::none);
    }
    return memory.data();
  } catch (const std::bad_alloc&) {
    throw DeviceError("emulated device: the host has no " + std::to_string(bytes) + " bytes");
  }
}

void Device::State::free(const std::byte* data) noexcept {
  const std::lock_guard lock(mutex_);
  for (auto* stream : streams_) stream->capture_spoilt |= stream->capturing != nullptr;
  run_all();
  const auto holds = [data](const GuardedBytes& memory) { return memory.data() == data; };
  if (const auto found = std::ranges::find_if(device_memory_, holds); found != device_memory_.end()) {
    used_bytes_ -= found->bytes();
    device_memory_.erase(found);
  }
  if (const auto found = std::ranges::find_if(pinned_memory_, holds); found != pinned_memory_.end()) {
    std::erase_if(uses_, [&](const PinnedUse& use) { return found->contains(use.data, use.bytes); });
    pinned_memory_.erase(found);
  }
}

MemoryInfo Device::State::memory() {
  const std::lock_guard lock(mutex_);
  return {free_bytes(), options_.memory_bytes, options_.driver_bytes};
}

DeviceProperties Device::State::properties() const {
  return {"emulated", 86, std::max(1u, options_.threads), options_.memory_bytes, 0};
}

emulation::Counts Device::State::counts() {
  const std::lock_guard lock(mutex_);
  return counts_;
}

void Device::State::fail_call(std::uint64_t call) {
  const std::lock_guard lock(mutex_);
  options_.failing_call = call == 0 ? 0 : counts_.calls + call;
}

void Device::State::check_room(std::size_t bytes) const {
  if (bytes <= free_bytes()) return;
  throw DeviceError("device memory: " + std::to_string(bytes) + " bytes refused, " +
                    std::to_string(free_bytes()) + " of " + std::to_string(options_.memory_bytes) +
                    " are free");
}

void Device::State::check_range(const char* what, const void* from, std::size_t bytes, MemoryKind kind) {
  const std::lock_guard lock(mutex_);
  const auto& list = kind == MemoryKind::device ? device_memory_ : pinned_memory_;
  const auto holds = [&](const GuardedBytes& memory) { return memory.contains(from, bytes); };
  if (std::ranges::any_of(list, holds)) return;
  throw DeviceError(std::string(what) + ": " + std::to_string(bytes) + " bytes do not lie in " +
                    (kind == MemoryKind::device ? "one piece of device memory" : "pinned host memory"));
}

bool Device::State::owns(const void* address) {
  const std::lock_guard lock(mutex_);
  const auto holds = [address](const GuardedBytes& memory) { return memory.contains(address, 0); };
  return std::ranges::any_of(device_memory_, holds) || std::ranges::any_of(pinned_memory_, holds);
}

void Device::State::begin_call(const char* what) {
  check_fault();
  ++counts_.calls;
  if (counts_.calls == options_.failing_call) {
    throw DeviceError("emulated device: call " + std::to_string(counts_.calls) + " (" + what +
                      ") fails, as was asked for");
  }
}

void Device::State::check_fault() const {
  if (!fault_.empty()) throw DeviceError(fault_);
}

void Device::State::add(Stream::State& stream, Operation operation) {
  const std::lock_guard lock(mutex_);
  if (stream.capturing) {
    check_fault();
    stream.capturing->push_back(std::move(operation));
    return;
  }
  begin_call(operation.name);
  ++counts_.operations;
  enqueue(stream, {{std::move(operation)}, nullptr, nullptr});
}

void Device::State::add(Stream::State& stream, const Graph::State& graph) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  begin_call("graph launch");
  ++counts_.graph_launches;
  enqueue(stream, {graph.operations, nullptr, nullptr});
}

std::shared_ptr<Event::State> Device::State::record(Stream::State& stream) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  check_fault();
  auto event = std::make_shared<Event::State>(Event::State{*this, stream.reached});
  event->reached[stream.number] = stream.enqueued + 1;
  enqueue(stream, {{}, nullptr, event});
  return event;
}

void Device::State::wait(Stream::State& stream, std::shared_ptr<const Event::State> event) {
  if (event == nullptr) return;
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  check_fault();
  for (const auto& [number, item] : event->reached) {
    auto& reached = stream.reached[number];
    reached = std::max(reached, item);
  }
  enqueue(stream, {{}, std::move(event), nullptr});
}

void Device::State::begin_capture(Stream::State& stream) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  begin_call("capture");
  stream.capturing = std::make_unique<std::vector<Operation>>();
  stream.capture_spoilt = false;
}

std::unique_ptr<Graph::State> Device::State::end_capture(Stream::State& stream) {
  const std::lock_guard lock(mutex_);
  const auto captured = std::move(stream.capturing);
  if (stream.capture_spoilt) throw DeviceError("memory was freed while a stream was being captured");
  const std::size_t bytes = captured->size() * options_.graph_operation_bytes;
  check_room(bytes);
  auto graph = std::unique_ptr<Graph::State>(
      new Graph::State{*this, std::move(*captured), options_.graph_operation_bytes});
  used_bytes_ += bytes;
  ++counts_.captures;
  return graph;
}

void Device::State::drop_capture(Stream::State& stream) noexcept {
  const std::lock_guard lock(mutex_);
  stream.capturing.reset();
}

void Device::State::forget(const Graph::State& graph) noexcept {
  const std::lock_guard lock(mutex_);
  used_bytes_ -= graph.bytes();
}

Graph::State::~State() {
  device.forget(*this);
}

void Device::State::check_not_capturing() const {
  const auto captures = [](const Stream::State* stream) { return stream->capturing != nullptr; };
  if (std::ranges::none_of(streams_, captures)) return;
  throw DeviceError("not while a stream is being captured");
}

/// Adds an item, and then perhaps runs some that wait.
void Device::State::enqueue(Stream::State& stream, Stream::State::Item item) {
  ++stream.enqueued;
  stream.reached[stream.number] = stream.enqueued;
  for (const auto& operation : item.operations) {
    if (operation.pinned == nullptr) continue;
    uses_.push_back(
        {stream.number, stream.enqueued, operation.pinned, operation.pinned_bytes, operation.host_may});
  }
  stream.items.push_back(std::move(item));
  protect_pinned();
  const auto enough = [this] { return random_.below(3) != 0; };
  if (enough()) return;
  const Window window(*this);
  while (!enough() && run_any()) {
  }
}

void Device::State::protect_pinned() {
  if (!options_.guarded) return;
  for (const auto access : {Access::read, Access::none}) {  // the stricter one last
    for (const auto& use : uses_) {
      if (use.host_may != access) continue;
      for (const auto& memory : pinned_memory_) {
        if (memory.contains(use.data, use.bytes)) memory.set_access(use.data, use.bytes, access);
      }
    }
  }
}

/// Runs the next item of one of the streams that can go on; false if there is none.
bool Device::State::run_any() {
  std::vector<Stream::State*> ready;
  for (auto* stream : streams_) {
    if (stream->items.empty() || stream->copying) continue;
    const auto& waits_for = stream->items.front().waits_for;
    if (waits_for == nullptr || waits_for->passed) ready.push_back(stream);
  }
  if (ready.empty()) return false;
  run_item(*ready[random_.below(ready.size())]);
  return true;
}

void Device::State::run_item(Stream::State& stream) {
  const auto item = std::move(stream.items.front());
  stream.items.pop_front();
  if (item.passes) item.passes->passed = true;
  for (const auto& operation : item.operations) {
    if (!fault_.empty()) return;  // a failed device does no more work
    try {
      run(stream, operation);
    } catch (const emulation::KernelFault& fault) {
      fault_ = fault.what();
    }
  }
}

void Device::State::run(Stream::State& stream, const Operation& operation) {
  if (options_.guarded || operation.pinned == nullptr) return operation.run(*this);
  stream.copying = true;
  mutex_.unlock();
  operation.run(*this);
  mutex_.lock();
  stream.copying = false;
  copied_.notify_all();
}

void Device::State::run_grid(const emulation::Grid& grid) {
  runner_.run(grid, random_.next());
  for (const auto& memory : device_memory_) {
    if (memory.intact()) continue;
    throw emulation::KernelFault("kernel " + std::string(grid.name) + ": out-of-bounds write beside " +
                                 std::to_string(memory.bytes()) + " bytes of device memory");
  }
}

void Device::State::run_until(const std::function<bool()>& done) {
  const Window window(*this);
  while (!done()) {
    if (run_any()) continue;
    if (std::ranges::none_of(streams_, &Stream::State::copying)) return;
    copied_.wait(mutex_);
  }
}

void Device::State::run_all() noexcept {
  run_until([] { return false; });
}

void Device::State::synchronise() {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  ++counts_.synchronisations;
  uses_.clear();
  run_all();  // also gives the host its pinned memory back
  check_fault();
}

void Device::State::synchronise(Stream::State& stream) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  ++counts_.synchronisations;
  forget_uses(stream.reached);
  run_until([&stream] { return stream.items.empty() && !stream.copying; });
  check_fault();
}

void Device::State::synchronise(const Event::State& event) {
  const std::lock_guard lock(mutex_);
  check_not_capturing();
  ++counts_.synchronisations;
  forget_uses(event.reached);
  run_until([&event] { return event.passed; });
  check_fault();
}

void Device::State::forget_uses(const Reached& reached) {
  std::erase_if(uses_, [&reached](const PinnedUse& use) {
    const auto found = reached.find(use.stream);
    return found != reached.end() && use.item <= found->second;
  });
}

void Device::State::open(Stream::State& stream) {
  const std::lock_guard lock(mutex_);
  stream.number = ++streams_opened_;
  streams_.push_back(&stream);
}

void Device::State::close(Stream::State& stream) noexcept {
  const std::lock_guard lock(mutex_);
  run_until([&stream] { return stream.items.empty() && !stream.copying; });
  std::erase(streams_, &stream);
}

}  // namespace tandem::cuda
