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
  for (auto& worker : workers_) worker->thread = std::thread([this, &worker] { work(*worker); });
}

Pipeline::~Pipeline() {
  while (!flights_.empty()) {
    try {
      finish();
    } catch (const std::exception&) {
      continue;  // nobody asks any more
    }
  }
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  for (auto& worker : workers_) worker->thread.join();
}

void Pipeline::begin(const Rows& rows) {
  const std::lock_guard lock(mutex_);
  free_logits();
  auto& flight = flights_.push({.rows = &rows, .crossing = begun_++ % kDepth});
  worker_of_.front()->queue.push(&flight);
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
    changed_.wait(lock, [&] { return stopping_ || !worker.queue.empty(); });
    if (worker.queue.empty()) return;
    auto& flight = *worker.queue.pop();
    if (flight.segment + 1 == worker_of_.size() && !flight.rows->wanted.empty()) {
      changed_.wait(lock, [this] { return logits_ == Logits::free; });
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

void Pipeline::go_on(Flight& flight) {
  ++flight.segment;
  flight.back = flight.error != nullptr || flight.segment == worker_of_.size();
  if (!flight.back) worker_of_[flight.segment]->queue.push(&flight);
  changed_.notify_all();
}

}  // namespace tandem::engine
