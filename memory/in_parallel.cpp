#include "memory/in_parallel.h"

#include <algorithm>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <span>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

namespace tandem::memory {
namespace {

class ParallelWork {
 public:
  ParallelWork(unsigned threads, std::size_t n, const std::function<void(std::size_t)>& work)
      : n_(n), work_(work) {
    done_.reserve(n);
    told_.reserve(n);
    try {
      for (std::size_t i = 0; i < std::min<std::size_t>(std::max(threads, 1U), n); ++i) {
        threads_.emplace_back([this] { run(); });
      }
    } catch (const std::system_error&) {
      if (threads_.empty()) throw;  // else those that there are do it
    } catch (...) {
      stop();
      throw;
    }
  }
  ParallelWork(const ParallelWork&) = delete;
  ParallelWork& operator=(const ParallelWork&) = delete;
  ~ParallelWork() { stop(); }

  /// Waits until more is done, which it returns, until it is called again.  Throws what work threw.
  std::span<const std::size_t> more_done() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !done_.empty() || failure_; });
    if (failure_) std::rethrow_exception(failure_);
    told_.clear();
    std::swap(told_, done_);
    return told_;
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    while (next_ < n_) {
      const auto i = next_++;
      lock.unlock();
      std::exception_ptr failure;
      try {
        work_(i);
      } catch (...) {
        failure = std::current_exception();
      }
      lock.lock();
      if (failure) {
        failure_ = std::move(failure);
        next_ = n_;
      } else {
        done_.push_back(i);
      }
      changed_.notify_all();
    }
  }

  void stop() {
    const std::lock_guard lock(mutex_);
    next_ = n_;
  }

  std::size_t n_;
  const std::function<void(std::size_t)>& work_;
  std::mutex mutex_;  ///< guards all down to failure_
  std::condition_variable changed_;
  std::size_t next_ = 0;
  std::vector<std::size_t> done_;  ///< that nobody was told of; has room for all, as has told_
  std::vector<std::size_t> told_;
  std::exception_ptr failure_;
  std::vector<std::jthread> threads_;  ///< last: they use all of the above
};

}  // namespace

void in_parallel(unsigned threads, std::size_t n, const std::function<void(std::size_t)>& work,
                 const std::function<void(std::size_t)>& done) {
  ParallelWork parallel(threads, n, work);
  for (std::size_t told = 0; told < n;) {
    for (const auto i : parallel.more_done()) {
      done(i);
      ++told;
    }
  }
}

}  // namespace tandem::memory
