#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "daemon/engine/bounded_queue.h"
#include "daemon/engine/device_lane.h"
#include "daemon/engine/executor.h"

namespace tandem::engine {

/// Consecutive segments that a micro-batch goes through: `first` to the one before `end`.
struct Route {
  std::size_t first = 0;
  std::size_t end = 0;
};

/// Micro-batches on their way through the segments of a plan.  Every lane has a thread of its own and a queue
/// of those that wait for it, so that one micro-batch is on one device while the next is on the other.  They
/// pass every segment in the order in which they began, and get to their logits in that order; a queue never
/// holds more than kDepth.
class Pipeline {
 public:
  /// Micro-batches that may be on their way at once: each has a buffer of its own in either direction.
  static constexpr std::size_t kDepth = 2;

  /// `lanes[i]` computes segment i; a lane may have several.  Lanes outlive the object.
  explicit Pipeline(const std::vector<DeviceLane*>& lanes);
  /// What is on its way is finished first.
  ~Pipeline();
  Pipeline(const Pipeline&) = delete;
  Pipeline& operator=(const Pipeline&) = delete;

  /// Sets `rows` on their way; they stay in place until `finish`.  Fewer than kDepth are on their way, and
  /// none of the same sequences by another route: it might be overtaken.
  void begin(const Rows& rows, Route route);

  /// Waits for the oldest.  Its logits hold until the next `begin` or `finish`: until then no other
  /// micro-batch gets to its own.  Throws what a lane threw; the micro-batch went no further then.
  void finish();

 private:
  struct Flight {
    const Rows* rows = nullptr;
    std::size_t crossing = 0;  ///< buffer
    Route route = {};
    std::size_t segment = 0;  ///< where it is, or goes next
    bool has_logits = false;
    bool back = false;
    std::exception_ptr error = nullptr;

    /// It is in its last segment, or goes there next, and wants logits.
    [[nodiscard]] bool ends_with_logits() const noexcept {
      return segment + 1 == route.end && !rows->wanted.empty();
    }
  };
  struct Worker {
    DeviceLane* lane = nullptr;
    BoundedQueue<Flight*, kDepth> queue;
    std::thread thread;
  };
  /// The one place for logits is free, or a micro-batch on its way has it, or one that came back.
  enum class Logits { free, on_the_way, back };

  void stop();
  void work(Worker& worker);
  [[nodiscard]] std::size_t next_of(const Worker& worker) const;
  [[nodiscard]] bool may_run(const Flight& flight) const;
  void go_on(Flight& flight);
  void free_logits();

  std::mutex mutex_;  ///< guards all but what the constructor sets
  std::condition_variable changed_;
  std::vector<Worker*> worker_of_;  ///< by segment
  BoundedQueue<Flight, kDepth> flights_;
  std::uint64_t begun_ = 0;
  Logits logits_ = Logits::free;
  bool stopping_ = false;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace tandem::engine
