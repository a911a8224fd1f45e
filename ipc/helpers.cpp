#include "ipc/helpers.h"

namespace tandem::ipc {

Helpers::Helpers(std::size_t threads) {
  threads_.reserve(threads);
  try {
    while (threads_.size() < threads) threads_.emplace_back([this] { io_.run(); });
  } catch (...) {
    stop();
    throw;
  }
}

void Helpers::stop() {
  begin_stop();
  for (auto& thread : threads_) thread.join();
  threads_.clear();
}

}  // namespace tandem::ipc
