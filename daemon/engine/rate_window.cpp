#include "daemon/engine/rate_window.h"

namespace tandem::engine {

void RateWindow::begin(std::uint64_t now_us) {
  begin_us_ = now_us;
  computing_ = true;
}

void RateWindow::end(std::uint64_t now_us, std::uint64_t prompt_tok, std::uint64_t bytes) {
  computing_ = false;
  if (count_ == kMostBatches) forget_oldest();
  batches_[(first_ + count_++) % kMostBatches] = {begin_us_, now_us, prompt_tok, 0, bytes};
  while (batches_[first_].end_us + kWindowUs <= now_us) forget_oldest();
}

void RateWindow::forget_oldest() noexcept {
  first_ = (first_ + 1) % kMostBatches;
  --count_;
}

void RateWindow::generated() noexcept {
  if (count_ > 0) ++batches_[(first_ + count_ - 1) % kMostBatches].generated_tok;
}

Rates RateWindow::rates(std::uint64_t now_us) const {
  const std::uint64_t until_us = computing_ ? begin_us_ : now_us;
  Batch sum;
  bool any = false;
  for (std::size_t i = 0; i < count_; ++i) {
    const Batch& batch = batches_[(first_ + i) % kMostBatches];
    if (batch.end_us + kWindowUs <= until_us) continue;
    if (!any) sum.begin_us = batch.begin_us;
    any = true;
    sum.prompt_tok += batch.prompt_tok;
    sum.generated_tok += batch.generated_tok;
    sum.bytes += batch.bytes;
  }
  if (!any || until_us <= sum.begin_us) return {};
  const double seconds = static_cast<double>(until_us - sum.begin_us) * 1e-6;
  return {static_cast<double>(sum.prompt_tok) / seconds, static_cast<double>(sum.generated_tok) / seconds,
          static_cast<double>(sum.bytes) * 1e-9 / seconds};
}

}  // namespace tandem::engine
