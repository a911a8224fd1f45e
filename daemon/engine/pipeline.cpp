#include "daemon/engine/pipeline.h"

#include <algorithm>

namespace tandem::engine {

Pipeline::Pipeline(const std::vector<DeviceLane*>& lanes) {
  for (auto* const lane : lanes) {
    auto worker = std::ranges::find_if(workers_, [lane](const auto& known) { return known->lane == lane; });
    if (worker == workers_.end()) {
      worker = workers_.insert(worker, std::make_unique<Worker>());
      (*worker)->lane = lane;
    }
    worker_of_.push_back(worker->get());
  }
  try {
    for (auto& worker : workers_) worker->thread = std::thread([this, &worker] { work(*worker); });
  } catch (...) {  // the system has no more threads
    stop();
    throw;
  }
}

Pipeline::~Pipeline() {
  while (!flights_.empty()) {
    try {
      finish();
    } catch (const std::exception&) {
      continue;  // nobody asks any more
    }
  }
  stop();
}

void Pipeline::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (auto& worker : workers_) {
    if (worker->thread.joinable()) worker->thread.join();
  }
}

void Pipeline::begin(const Rows& rows, Route route) {
  const std::lock_guard lock(mutex_);
  free_logits();
  auto& flight =
      flights_.push({.rows = &rows, .crossing = begun_++ % kDepth, .route = route, .segment = route.first});
  worker_of_[route.first]->queue.push(&flight);
  changed_.notify_all();
}

void Pipeline::finish() {
  std::unique_lock lock(mutex_);
  free_logits();
  changed_.wait(lock, [this] { return flights_.front().back; });
  const auto flight = flights_.pop();
  if (flight.has_logits) logits_ = Logits::back;
  if (flight.error) std::rethrow_exception(flight.error);
}

/// Whoever asks for more has read the logits that came back.
void Pipeline::free_logits() {
  if (logits_ != Logits::back) return;
  logits_ = Logits::free;
  changed_.notify_all();
}

void Pipeline::work(Worker& worker) {
  worker.lane->start();
  std::unique_lock lock(mutex_);
  while (true) {
    auto next = kDepth;
    changed_.wait(lock, [&] { return (next = next_of(worker)) < worker.queue.size() || stopping_; });
    if (next >= worker.queue.size()) return;
    auto& flight = *worker.queue.take(next);
    if (flight.ends_with_logits()) {
      logits_ = Logits::on_the_way;
      flight.has_logits = true;
    }
    lock.unlock();
    try {
      worker.lane->run(flight.segment, *flight.rows, flight.crossing);
    } catch (...) {
      flight.error = std::current_exception();
    }
    lock.lock();
    go_on(flight);
  }
}

/// Number of the first of those that wait for the worker that may run, or how many wait; none passes another
/// one in a segment.
std::size_t Pipeline::next_of(const Worker& worker) const {
  for (std::size_t i = 0; i < worker.queue.size(); ++i) {
    const auto& flight = *worker.queue[i];
    bool passes = false;
    for (std::size_t before = 0; before < i; ++before) {
      passes |= worker.queue[before]->segment == flight.segment;
    }
    if (!passes && may_run(flight)) return i;
  }
  return worker.queue.size();
}

/// Logits have one place, and those who began first get there first.
bool Pipeline::may_run(const Flight& flight) const {
  if (!flight.ends_with_logits()) return true;
  if (logits_ != Logits::free) return false;
  for (std::size_t i = 0; &flights_[i] != &flight; ++i) {
    if (!flights_[i].back && !flights_[i].rows->wanted.empty()) return false;
  }
  return true;
}

void Pipeline::go_on(Flight& flight) {
  ++flight.segment;
  flight.back = flight.error != nullptr || flight.segment == flight.route.end;
  if (!flight.back) worker_of_[flight.segment]->queue.push(&flight);
  changed_.notify_all();
}

}  // namespace tandem::engine
