#pragma once

#include <memory>
#include <span>
#include <string>

#include "daemon/engine/engine.h"
#include "memory/arena.h"

namespace prometheus {
class Histogram;
class Registry;
}  // namespace prometheus

namespace tandem::daemon {

/// What GET /metrics says, in Prometheus' text format.  Names begin with `tandem_`, units are base units,
/// counters end in `_total`.  Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  /// Adds one finished request to the latency histograms.
  void observe(const engine::Usage& usage);

  /// Histograms so far, and counters and gauges of this moment.
  [[nodiscard]] std::string text(const engine::Stats& stats, std::span<const memory::LedgerLine> ledger,
                                 std::size_t grammar_mask_bytes) const;

 private:
  std::unique_ptr<prometheus::Registry> registry_;
  prometheus::Histogram* queue_seconds_;
  prometheus::Histogram* first_token_seconds_;
  prometheus::Histogram* token_seconds_;
};

}  // namespace tandem::daemon
