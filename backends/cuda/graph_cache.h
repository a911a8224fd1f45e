#pragma once

#include <cstdint>
#include <vector>

#include "backends/cuda/runtime.h"
#include "backends/device.h"

namespace tandem::cuda {

/// Device memory for the graphs of all stages.
struct GraphBudget {
  std::uint64_t limit_bytes = 0;  ///< 0 = no graphs
  std::uint64_t used_bytes = 0;
  device::RecordedSteps recorded;
};

/// What steps have in common that are the same graph.
struct StepClass {
  const float* x = nullptr;
  std::uint32_t rows = 0;
  std::uint64_t context_tok = 0;

  bool operator==(const StepClass& other) const noexcept {
    return x == other.x && rows == other.rows && context_tok == other.context_tok;
  }
};

/// The graphs of a stage's decode steps, captured ahead or when their class first comes, and as long as they
/// fit the budget, which outlives them.
class GraphCache {
 public:
  /// Of one stage: four row classes with the contexts up to 32,768 and a second residual stream, or all up to
  /// 262,144.
  static constexpr std::size_t kMostGraphs = 64;

  explicit GraphCache(GraphBudget& budget) : budget_(budget) { graphs_.reserve(kMostGraphs); }
  GraphCache(const GraphCache&) = delete;
  GraphCache& operator=(const GraphCache&) = delete;
  ~GraphCache() {
    for (const Entry& entry : graphs_) budget_.used_bytes -= entry.graph.bytes();
    budget_.recorded.count -= graphs_.size();
  }

  [[nodiscard]] bool enabled() const noexcept { return budget_.limit_bytes > 0; }

  /// Puts into the stream what `enqueue` would put there, which depends on the class only.
  template <class Enqueue>
  void run(Stream& stream, const StepClass& of, const Enqueue& enqueue) {
    for (const Entry& entry : graphs_) {
      if (entry.of == of) return stream.launch(entry.graph);
    }
    if (!capture(stream, of, enqueue)) return enqueue();
    stream.launch(graphs_.back().graph);
  }

  /// Captures what `enqueue` would put into the stream for steps of this class, if it fits; else no other
  /// one is captured either.
  template <class Enqueue>
  bool capture(Stream& stream, const StepClass& of, const Enqueue& enqueue) {
    if (full_ || !enabled() || graphs_.size() == kMostGraphs) return false;
    Graph graph = stream.capture(enqueue);
    if (graph.bytes() > budget_.limit_bytes - budget_.used_bytes) {
      if (budget_.recorded.refused_bytes == 0) budget_.recorded.refused_bytes = graph.bytes();
      close();
      return false;
    }
    budget_.used_bytes += graph.bytes();
    ++budget_.recorded.count;
    graphs_.push_back({of, std::move(graph)});
    return true;
  }

  /// What is not captured now never is.
  void close() noexcept { full_ = true; }

 private:
  struct Entry {
    StepClass of;
    Graph graph;
  };

  GraphBudget& budget_;
  std::vector<Entry> graphs_;
  bool full_ = false;
};

}  // namespace tandem::cuda
