#pragma once

#include <cstddef>
#include <thread>
#include <utility>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace tandem::ipc {

/// Threads that run what is posted to them, each thing on one of them.  (Boost 1.74's thread_pool waits for
/// ever for its first threads where the system refuses another.)
class Helpers {
 public:
  /// Throws std::system_error where the system has not so many threads; those there were have ended then.
  explicit Helpers(std::size_t threads);
  /// What runs ends, what waits is dropped.
  ~Helpers() { stop(); }
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  template <class Task>
  void post(Task&& task) {
    boost::asio::post(io_, std::forward<Task>(task));
  }

  /// Nothing new begins; `stop` waits for what runs too.
  void begin_stop() { io_.stop(); }
  void stop();

 private:
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> work_{io_.get_executor()};
  std::vector<std::thread> threads_;
};

}  // namespace tandem::ipc
