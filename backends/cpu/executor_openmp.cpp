#include <omp.h>

#include "backends/cpu/executor.h"

namespace tandem::cpu {

struct Executor::Impl {
  int threads;
};

Executor::Executor(unsigned threads) : impl_(std::make_unique<Impl>(Impl{static_cast<int>(threads)})) {}

Executor::~Executor() = default;

void Executor::run(Body body, void* context) noexcept {
#pragma omp parallel num_threads(impl_->threads)
  body(context, static_cast<unsigned>(omp_get_thread_num()), static_cast<unsigned>(omp_get_num_threads()));
}

}  // namespace tandem::cpu
