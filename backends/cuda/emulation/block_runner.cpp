#include "backends/cuda/emulation/block_runner.h"

#include <algorithm>
#include <cstring>

#include "backends/cuda/emulation/fibre.h"
#include "backends/cuda/emulation/sanitizers.h"

namespace tandem::cuda::emulation {
namespace {

constexpr unsigned kWarp = 32;
constexpr unsigned kMaxWarps = 32;
constexpr unsigned kBarriers = 16;
constexpr unsigned kMaxVariables = 64;
constexpr std::size_t kSharedAlignment = 128;  ///< of dynamic shared memory, which comes after the variables

thread_local BlockRunner* runner = nullptr;

bool same(Place a, Place b) {
  return a.line == b.line && (a.file == b.file || std::strcmp(a.file, b.file) == 0);
}

std::string text(Place place) {
  const char* slash = std::strrchr(place.file, '/');
  return std::string(slash != nullptr ? slash + 1 : place.file) + ":" + std::to_string(place.line);
}

}  // namespace

struct BlockRunner::Thread {
  explicit Thread(BlockRunner& its_runner) : owner(its_runner), fibre(&thread_main, this) {}

  BlockRunner& owner;
  Fibre fibre;
  unsigned number = 0;
  uint3 index{};
  bool ended = true;
  const char* waits_for = nullptr;  ///< null = can go on
  Place place{};
};

/// Threads wait here until `expected` came.  Two turns' addresses for ThreadSanitizer: who leaves late must
/// not be told of the next turn.
struct BlockRunner::Barrier {
  unsigned arrived = 0;
  unsigned expected = 0;
  Place place{};
  unsigned turn = 0;
  char turns[2] = {};
  Thread* waiting[kWarp * kMaxWarps] = {};
  unsigned n_waiting = 0;
};

/// What the lanes of a warp deposit for a collective.
struct BlockRunner::Warp {
  std::uint32_t mask = 0;
  std::uint32_t arrived = 0;
  Place place{};
  WarpFunction compute = nullptr;
  unsigned turn = 0;
  char turns[2] = {};
  const void* in[kWarp] = {};
  void* out[kWarp] = {};
  Thread* waiting[kWarp] = {};
};

/// What block_variable gave out.
struct BlockRunner::Variable {
  const void* key = nullptr;
  std::byte* data = nullptr;
  std::size_t bytes = 0;
  std::uint64_t block = 0;  ///< the last one that used it, counted from 1
};

BlockRunner::BlockRunner()
    : owned_barriers_(std::make_unique<Barrier[]>(kBarriers)),
      owned_warps_(std::make_unique<Warp[]>(kMaxWarps)),
      owned_variables_(std::make_unique<Variable[]>(kMaxVariables)),
      barriers_(owned_barriers_.get()),
      warps_(owned_warps_.get()),
      variables_(owned_variables_.get()) {}

BlockRunner::~BlockRunner() = default;

void BlockRunner::run(const Grid& grid, std::uint64_t block, std::uint64_t seed) {
  prepare(grid);
  runner = this;
  kernel_place.kernel = grid.name;
  const std::uint64_t plane = std::uint64_t{grid.blocks.x} * grid.blocks.y;
  blockIdx = {static_cast<unsigned>(block % grid.blocks.x),
              static_cast<unsigned>(block % plane / grid.blocks.x), static_cast<unsigned>(block / plane)};
  blockDim = grid.threads;
  gridDim = grid.blocks;
  for (unsigned i = 0; i < n_threads_; ++i) start(i);

  Random random(seed);
  publish(&started_);
  while (run_round(Order(n_threads_, random))) {
  }
  observe(&finished_);
  if (ended_ < n_threads_ && fault_.empty()) fault_ = waiting_in_vain();
  if (ended_ < n_threads_) abandon();
  observe(&finished_);
  kernel_place.kernel = nullptr;
  if (fault_.empty() && !intact()) fault_ = "wrote outside of its shared memory";
  if (fault_.empty()) return;
  throw KernelFault("kernel " + std::string(grid.name) + ", block (" + std::to_string(blockIdx.x) + "," +
                    std::to_string(blockIdx.y) + "," + std::to_string(blockIdx.z) + "): " + fault_);
}

void BlockRunner::prepare(const Grid& grid) {
  grid_ = &grid;
  n_threads_ = grid.threads.x * grid.threads.y * grid.threads.z;
  while (owned_threads_.size() < n_threads_) {
    thread_list_.push_back(owned_threads_.emplace_back(std::make_unique<Thread>(*this)).get());
  }
  threads_ = thread_list_.data();
  if (shared_.bytes() != grid.shared_bytes || shared_.data() == nullptr) {
    shared_ = GuardedBytes(grid.shared_bytes, MemoryKind::shared);
  }
  std::memset(shared_.data(), 0xff, grid.shared_bytes);  // nobody may expect anything of it: NaN
  for (const GuardedBytes& memory : variable_memory_) std::memset(memory.data(), 0xff, memory.bytes());
  for (unsigned i = 0; i < kBarriers; ++i) barriers_[i].arrived = barriers_[i].n_waiting = 0;
  for (unsigned i = 0; i < kMaxWarps; ++i) warps_[i].arrived = 0;
  ++blocks_;
  variables_bytes_ = 0;
  ended_ = 0;
  abandoned_ = false;
  fault_.clear();
}

TANDEM_UNSEEN void BlockRunner::start(unsigned thread) noexcept {
  Thread& started = *threads_[thread];
  const dim3& size = grid_->threads;
  started.number = thread;
  started.index = {thread % size.x, thread / size.x % size.y, thread / size.x / size.y};
  started.ended = false;
  started.waits_for = nullptr;
}

/// False if nobody could go on.
TANDEM_UNSEEN bool BlockRunner::run_round(const Order& order) noexcept {
  bool progress = false;
  std::uint64_t number = order.first();
  for (unsigned i = 0; i < n_threads_ && !abandoned_; ++i, number = order.after(number)) {
    Thread& thread = *threads_[number];
    if (thread.ended || thread.waits_for != nullptr) continue;
    progress = true;
    current_ = &thread;
    threadIdx = thread.index;
    thread.fibre.resume();
  }
  return progress && ended_ < n_threads_ && !abandoned_;
}

/// Unwinds every thread that still waits.
TANDEM_UNSEEN void BlockRunner::abandon() noexcept {
  abandoned_ = true;
  for (unsigned i = 0; i < n_threads_; ++i) {
    current_ = threads_[i];
    if (!current_->ended) current_->fibre.resume();
  }
}

void BlockRunner::thread_main(void* thread) {
  auto& self = *static_cast<Thread*>(thread);
  BlockRunner& owner = self.owner;
  for (;;) {
    observe(&owner.started_);
    try {
      if (!owner.abandoned_) owner.grid_->kernel();
    } catch (const Abandoned&) {
      // waiting_in_vain or fault said why
    }
    publish(&owner.finished_);
    owner.end(self);
    self.fibre.suspend();
  }
}

TANDEM_UNSEEN void BlockRunner::end(Thread& thread) noexcept {
  thread.ended = true;
  ++ended_;
}

TANDEM_UNSEEN void BlockRunner::fault(const std::string& what) {
  if (fault_.empty()) {
    fault_ = what + " (thread " + std::to_string(threadIdx.x) + "," + std::to_string(threadIdx.y) + "," +
             std::to_string(threadIdx.z) + ")";
  }
  abandoned_ = true;
  throw Abandoned{};
}

TANDEM_UNSEEN void BlockRunner::wait_as(const char* what, Place place) {
  Thread& self = *current_;
  self.waits_for = what;
  self.place = place;
  self.fibre.suspend();
  if (abandoned_) throw Abandoned{};
}

TANDEM_UNSEEN void BlockRunner::release(Barrier& barrier) noexcept {
  for (unsigned i = 0; i < barrier.n_waiting; ++i) barrier.waiting[i]->waits_for = nullptr;
  barrier.arrived = barrier.n_waiting = 0;
  ++barrier.turn;
}

TANDEM_UNSEEN void BlockRunner::meet(Barrier& barrier, unsigned expected, bool waits, Place place) {
  if (barrier.arrived == 0) {
    barrier.expected = expected;
    barrier.place = place;
  }
  if (barrier.expected != expected) {
    fault("barrier for " + std::to_string(barrier.expected) + " threads at " + text(barrier.place) +
          " and for " + std::to_string(expected) + " at " + text(place));
  }
  char* turn = &barrier.turns[barrier.turn % 2];
  publish(turn);
  ++barrier.arrived;
  if (barrier.arrived == expected) {
    release(barrier);
  } else if (waits) {
    barrier.waiting[barrier.n_waiting++] = current_;
    wait_as("barrier", place);
  }
  if (waits) observe(turn);
}

TANDEM_UNSEEN void BlockRunner::block_barrier(Place place) {
  Barrier& barrier = barriers_[0];
  if (barrier.arrived > 0 && !same(barrier.place, place)) {
    fault("divergent barrier: threads are at " + text(barrier.place) + " and at " + text(place));
  }
  meet(barrier, n_threads_, true, place);
}

TANDEM_UNSEEN void BlockRunner::named_barrier(unsigned id, unsigned threads, bool waits, Place place) {
  if (id == 0 || id >= kBarriers || threads == 0 || threads % kWarp != 0 || threads > n_threads_) {
    fault("barrier " + std::to_string(id) + " for " + std::to_string(threads) + " threads at " + text(place));
  }
  meet(barriers_[id], threads, waits, place);
}

TANDEM_UNSEEN unsigned BlockRunner::lane() const noexcept {
  return current_->number % kWarp;
}

TANDEM_UNSEEN void BlockRunner::finish(Warp& warp) noexcept {
  for (unsigned i = 0; i < kWarp; ++i) {
    if ((warp.mask >> i & 1) == 0) warp.out[i] = nullptr, warp.in[i] = nullptr;
  }
  warp.compute(warp.in, warp.out);
  for (unsigned i = 0; i < kWarp; ++i) {
    if ((warp.mask >> i & 1) != 0 && warp.waiting[i] != current_) warp.waiting[i]->waits_for = nullptr;
  }
  warp.arrived = 0;
  ++warp.turn;
}

TANDEM_UNSEEN void BlockRunner::warp_collective(std::uint32_t mask, WarpFunction compute, const void* in,
                                                void* out, Place place) {
  Warp& warp = warps_[current_->number / kWarp];
  const std::uint32_t self = std::uint32_t{1} << lane();
  if ((mask & self) == 0) fault("a warp collective at " + text(place) + " leaves out its own lane");
  if (warp.arrived == 0) {
    warp.mask = mask;
    warp.place = place;
    warp.compute = compute;
  }
  if (warp.mask != mask || warp.compute != compute || !same(warp.place, place)) {
    fault("divergent warp: lanes are at " + text(warp.place) + " and at " + text(place));
  }
  char* turn = &warp.turns[warp.turn % 2];
  publish(turn);
  warp.in[lane()] = in;
  warp.out[lane()] = out;
  warp.waiting[lane()] = current_;
  warp.arrived |= self;
  if (warp.arrived == mask) {
    observe(turn);
    finish(warp);
    publish(turn);
  } else {
    wait_as("warp collective", place);
  }
  observe(turn);
}

bool BlockRunner::intact() const noexcept {
  const auto is_intact = [](const GuardedBytes& memory) { return memory.intact(); };
  return shared_.intact() && std::all_of(variable_memory_.begin(), variable_memory_.end(), is_intact);
}

TANDEM_UNSEEN std::byte* BlockRunner::block_variable(const void* key, std::size_t bytes) {
  for (unsigned i = 0; i < n_variables_; ++i) {
    if (variables_[i].key != key) continue;
    observe(&made_variable_);
    count_variable(variables_[i]);
    return variables_[i].data;
  }
  if (n_variables_ == kMaxVariables) fault("more variables of blocks than there is room for");
  std::byte* data = make_variable(bytes);
  for (std::size_t i = 0; i < bytes; ++i) {
    data[i] = std::byte{0xff};
    asm volatile("" ::: "memory");  // no call of memset, which ThreadSanitizer would see
  }
  variables_[n_variables_].key = key;
  variables_[n_variables_].data = data;
  variables_[n_variables_].bytes = bytes;
  count_variable(variables_[n_variables_++]);
  return data;
}

/// Once for each block.
TANDEM_UNSEEN void BlockRunner::count_variable(Variable& variable) {
  if (variable.block == blocks_) return;
  variable.block = blocks_;
  variables_bytes_ += variable.bytes;
  const auto aligned = (variables_bytes_ + kSharedAlignment - 1) / kSharedAlignment * kSharedAlignment;
  if (aligned + grid_->shared_bytes <= kMaxSharedBytes) return;
  fault("variables of " + std::to_string(aligned) + " bytes and " + std::to_string(grid_->shared_bytes) +
        " bytes of dynamic shared memory are more than the " + std::to_string(kMaxSharedBytes) +
        " that a block may have");
}

/// Threads that make one come after each other, and its use after them.
std::byte* BlockRunner::make_variable(std::size_t bytes) {
  observe(&made_variable_);
  std::byte* data = variable_memory_.emplace_back(bytes, MemoryKind::shared).data();
  publish(&made_variable_);
  return data;
}

void BlockRunner::check_aligned(const void* address, std::size_t bytes, Place place) {
  if (reinterpret_cast<std::uintptr_t>(address) % bytes == 0) return;
  fault("the address at " + text(place) + " is not a multiple of " + std::to_string(bytes));
}

void BlockRunner::check_not_null(const void* address, Place place) {
  if (address == nullptr) fault("null is not on the device, at " + text(place));
}

TANDEM_UNSEEN std::string BlockRunner::waiting_in_vain() const {
  std::string what = "divergent barrier:";
  const char* separator = " ";
  for (unsigned i = 0; i < n_threads_;) {
    const Thread& first = *threads_[i];
    unsigned end = i + 1;
    while (end < n_threads_ && threads_[end]->ended == first.ended &&
           (first.ended || same(threads_[end]->place, first.place))) {
      ++end;
    }
    what += separator + std::string("threads ") + std::to_string(i) + " to " + std::to_string(end - 1);
    what += first.ended ? " have ended"
                        : " wait for a " + std::string(first.waits_for) + " at " + text(first.place);
    separator = ", ";
    i = end;
  }
  return what;
}

std::byte* shared_memory() noexcept {
  return runner->shared_memory();
}

std::byte* block_variable(const void* key, std::size_t bytes) {
  return runner->block_variable(key, bytes);
}

void block_barrier(Place place) {
  runner->block_barrier(place);
}

void named_barrier(unsigned id, unsigned threads, bool waits, Place place) {
  runner->named_barrier(id, threads, waits, place);
}

void warp_collective(std::uint32_t mask, WarpFunction compute, const void* in, void* out, Place place) {
  runner->warp_collective(mask, compute, in, out, place);
}

void check_aligned(const void* address, std::size_t bytes, Place place) {
  runner->check_aligned(address, bytes, place);
}

void check_not_null(const void* address, Place place) {
  runner->check_not_null(address, place);
}

unsigned lane() noexcept {
  return runner->lane();
}

}  // namespace tandem::cuda::emulation
