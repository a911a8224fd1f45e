#pragma once

#include <memory>

#include "daemon/engine/sink.h"
#include "daemon/metrics.h"
#include "ipc/event_stream.h"
#include "model/tokenizer.h"

namespace tandem::daemon {

/// Hands what the engine produces to a client's stream, in the wire's words.
class StreamSink final : public engine::Sink {
 public:
  /// `tokenizer` and `metrics` outlive the sink.
  StreamSink(std::shared_ptr<ipc::EventStream> stream, const model::Tokenizer& tokenizer, Metrics& metrics);

  void on_progress(std::uint64_t done_tok, std::uint64_t total_tok) override;
  void on_text(const engine::TextDelta& delta) override;
  void on_finish(engine::Finished finished) noexcept override;
  [[nodiscard]] bool has_room() const override { return stream_->has_room(); }

 private:
  [[nodiscard]] ipc::ScoredToken score(const engine::ScoredToken& token) const;
  void name(model::TokenId token, float logprob, ipc::TokenLogprob& out) const;

  std::shared_ptr<ipc::EventStream> stream_;
  const model::Tokenizer& tokenizer_;
  Metrics& metrics_;
  bool called_ = false;  ///< the answer has at least one call
};

}  // namespace tandem::daemon
