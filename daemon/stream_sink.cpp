#include "daemon/stream_sink.h"

#include <utility>

namespace tandem::daemon {

namespace {

static_assert(ipc::EventStream::kRoomForArguments >= model::kRoomForArguments);
static_assert(ipc::EventStream::kRoomForText >= engine::kRoomForText);

ipc::FinishReason reason_of(engine::FinishReason reason) noexcept {
  switch (reason) {
    case engine::FinishReason::stop:
      return ipc::FinishReason::stop;
    case engine::FinishReason::length:
      return ipc::FinishReason::length;
    case engine::FinishReason::cancelled:
      return ipc::FinishReason::cancelled;
    case engine::FinishReason::error:
      return ipc::FinishReason::error;
  }
  return ipc::FinishReason::error;
}

}  // namespace

StreamSink::StreamSink(std::shared_ptr<ipc::EventStream> stream, const model::Tokenizer& tokenizer,
                       Metrics& metrics)
    : stream_(std::move(stream)), tokenizer_(tokenizer), metrics_(metrics) {}

void StreamSink::on_progress(std::uint64_t done_tok, std::uint64_t total_tok) {
  stream_->push(ipc::PromptProgress{done_tok, total_tok});
}

void StreamSink::on_text(const engine::TextDelta& delta) {
  auto out = stream_->spare(delta.text.size());
  out.text = delta.text;
  out.tokens = delta.tokens;
  out.scores.reserve(delta.scores.size());
  for (const auto& token : delta.scores) out.scores.push_back(score(token));
  out.reasoning = delta.reasoning;
  for (const auto& call : delta.calls) {
    auto& out_call = out.calls.emplace_back(stream_->spare_call(call.arguments.size()));
    out_call.name = call.name;
    out_call.arguments = call.arguments;
  }
  called_ |= !out.calls.empty();
  stream_->push(std::move(out));
}

void StreamSink::on_finish(engine::Finished finished) noexcept {
  metrics_.observe(finished.usage);
  const auto& usage = finished.usage;
  const double gb_per_s = usage.decode_step_us == 0
                              ? 0.0
                              : static_cast<double>(usage.decode_read_bytes) / 1e3 / usage.decode_step_us;
  auto reason = reason_of(finished.reason);
  if (called_ && reason == ipc::FinishReason::stop) reason = ipc::FinishReason::tool_calls;
  stream_->push(ipc::Finished{reason,
                              {usage.prompt_tok, usage.completion_tok, usage.queue_us, usage.prompt_us,
                               usage.decode_us, gb_per_s, usage.thought_tok},
                              std::move(finished.error),
                              std::move(finished.stop_string)});
}

ipc::ScoredToken StreamSink::score(const engine::ScoredToken& token) const {
  auto out = stream_->spare_scores();
  name(token.token, token.logprob.value_or(0.0F), out.chosen);
  out.has_logprob = token.logprob.has_value();
  out.in_text = !tokenizer_.token_bytes(token.token).empty();
  out.top.resize(token.top.size());
  for (std::size_t i = 0; i < token.top.size(); ++i)
    name(token.top[i].token, token.top[i].logprob, out.top[i]);
  return out;
}

void StreamSink::name(model::TokenId token, float logprob, ipc::TokenLogprob& out) const {
  // Control tokens have no bytes; a reader of scores wants to see which one it was.
  const auto bytes = tokenizer_.token_bytes(token);
  out.token = token;
  out.text = bytes.empty() ? tokenizer_.token_text(token) : bytes;
  out.logprob = logprob;
}

}  // namespace tandem::daemon
