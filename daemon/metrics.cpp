#include "daemon/metrics.h"

#include <utility>
#include <vector>

#include <prometheus/histogram.h>
#include <prometheus/metric_family.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

namespace tandem::daemon {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

constexpr double kSecondsPerUs = 1e-6;

struct Labelled {
  std::vector<ClientMetric::Label> labels;
  double value;
};

/// Families of one scrape, built from numbers that are counted elsewhere.
class Families {
 public:
  void counter(const char* name, const char* help, const std::vector<Labelled>& values) {
    add(MetricType::Counter, name, help, values);
  }
  void counter(const char* name, const char* help, double value) { counter(name, help, {{{}, value}}); }
  void gauge(const char* name, const char* help, const std::vector<Labelled>& values) {
    add(MetricType::Gauge, name, help, values);
  }
  void gauge(const char* name, const char* help, double value) { gauge(name, help, {{{}, value}}); }

  std::vector<MetricFamily> take() && { return std::move(families_); }

 private:
  void add(MetricType type, const char* name, const char* help, const std::vector<Labelled>& values) {
    MetricFamily family;
    family.name = name;
    family.help = help;
    family.type = type;
    for (const auto& [labels, value] : values) {
      ClientMetric metric;
      metric.label = labels;
      (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
      family.metric.push_back(std::move(metric));
    }
    families_.push_back(std::move(family));
  }

  std::vector<MetricFamily> families_;
};

void add_counters(Families& families, const engine::Stats& s) {
  families.counter("tandem_requests_total", "Requests taken.", s.submitted);
  families.counter("tandem_requests_finished_total", "Requests ended, by reason.",
                   {{{{"reason", "stop"}}, static_cast<double>(s.finished_stop)},
                    {{{"reason", "length"}}, static_cast<double>(s.finished_length)},
                    {{{"reason", "cancelled"}}, static_cast<double>(s.finished_cancelled)},
                    {{{"reason", "error"}}, static_cast<double>(s.finished_error)}});
  families.counter("tandem_prompt_tokens_total", "Prompt tokens computed.", s.prompt_tok);
  families.counter("tandem_generated_tokens_total", "Tokens sampled.", s.generated_tok);
  const auto by_phase = [&](const char* name, const char* help, double prompt, double decode) {
    families.counter(name, help, {{{{"phase", "prompt"}}, prompt}, {{{"phase", "decode"}}, decode}});
  };
  by_phase("tandem_steps_total", "Micro-batches run, by what was in them.", s.prompt_steps, s.decode_steps);
  by_phase("tandem_step_seconds_total", "Time in micro-batches.", s.prompt_us * kSecondsPerUs,
           s.decode_us * kSecondsPerUs);
  by_phase("tandem_weight_read_bytes_total", "Weight bytes read, each tensor once a micro-batch.",
           s.prompt_bytes.weights, s.decode_bytes.weights);
  by_phase("tandem_kv_read_bytes_total", "KV bytes read.", s.prompt_bytes.kv, s.decode_bytes.kv);
  families.counter("tandem_deliver_seconds_total", "Time choosing tokens and making text.",
                   s.deliver_us * kSecondsPerUs);
}

void add_gauges(Families& families, const engine::Stats& s, std::span<const memory::LedgerLine> ledger) {
  families.gauge("tandem_requests_queued", "Requests that wait for a slot.", s.queued);
  families.gauge("tandem_requests_running", "Requests that hold a slot.", s.running);
  families.gauge("tandem_kv_pages_free", "Free pages of global KV.", s.free_pages);
  std::vector<Labelled> bytes;
  for (const auto& line : ledger) {
    bytes.push_back({{{"device", std::string(planner::to_string(line.device))},
                      {"purpose", std::string(planner::to_string(line.purpose))}},
                     static_cast<double>(line.allocated_bytes)});
  }
  families.gauge("tandem_arena_bytes", "Bytes allocated, by device and purpose.", bytes);
}

}  // namespace

Metrics::Metrics() : registry_(std::make_unique<prometheus::Registry>()) {
  using Bounds = prometheus::Histogram::BucketBoundaries;
  const auto histogram = [&](const char* name, const char* help, const Bounds& bounds) {
    return &prometheus::BuildHistogram().Name(name).Help(help).Register(*registry_).Add({}, bounds);
  };
  const Bounds waits{0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300};
  queue_seconds_ = histogram("tandem_queue_seconds", "From submission to the first micro-batch.", waits);
  first_token_seconds_ =
      histogram("tandem_time_to_first_token_seconds", "From submission to the first token.", waits);
  token_seconds_ = histogram("tandem_token_seconds", "Mean time between the tokens of one request.",
                             {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5});
}

Metrics::~Metrics() = default;

void Metrics::observe(const engine::Usage& usage) {
  queue_seconds_->Observe(usage.queue_us * kSecondsPerUs);
  if (usage.completion_tok == 0) return;
  first_token_seconds_->Observe((usage.queue_us + usage.prompt_us) * kSecondsPerUs);
  if (usage.completion_tok == 1) return;
  token_seconds_->Observe(usage.decode_us * kSecondsPerUs / static_cast<double>(usage.completion_tok - 1));
}

std::string Metrics::text(const engine::Stats& stats, std::span<const memory::LedgerLine> ledger,
                          std::size_t grammar_mask_bytes) const {
  Families families;
  add_counters(families, stats);
  add_gauges(families, stats, ledger);
  families.gauge("tandem_grammar_mask_bytes", "Bytes that say which tokens fit where in grammars.",
                 static_cast<double>(grammar_mask_bytes));
  auto all = std::move(families).take();
  for (auto& family : registry_->Collect()) all.push_back(std::move(family));
  return prometheus::TextSerializer().Serialize(all);
}

}  // namespace tandem::daemon
