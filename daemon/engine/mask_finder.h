#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "daemon/engine/generation.h"
#include "daemon/scheduler/scheduler.h"

namespace tandem::engine {

using scheduler::RequestId;

/// A thread that finds out what grammars allow next, where that takes long: one sequence after the other, in
/// the order they came.  So they wait for each other, and nobody else does.
class MaskFinder {
 public:
  /// `found` is called on the thread after each.  Nothing is allocated while no more than `sequences` that
  /// somebody holds wait, and no more were found that nobody asked for.
  MaskFinder(std::size_t sequences, std::function<void()> found);
  ~MaskFinder();
  MaskFinder(const MaskFinder&) = delete;
  MaskFinder& operator=(const MaskFinder&) = delete;

  /// Until `next_found` gives `id` nobody else asks `generation` what is allowed; if nobody else holds it any
  /// more by its turn, it is left out.
  void want(RequestId id, const std::shared_ptr<Generation>& generation);
  /// The one that was found longest ago and not given yet.
  [[nodiscard]] std::optional<RequestId> next_found();

 private:
  struct Wanted {
    RequestId id = 0;
    std::weak_ptr<Generation> generation;
  };

  void work();

  const std::function<void()> found_one_;
  std::mutex mutex_;  ///< guards all below
  std::condition_variable changed_;
  std::vector<Wanted> wanted_;  ///< oldest first
  std::vector<RequestId> found_;
  bool stopping_ = false;
  std::thread thread_;  ///< last: it uses all of the above
};

}  // namespace tandem::engine
