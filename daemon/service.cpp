#include "daemon/service.h"

#include <random>
#include <utility>

#include <nlohmann/json.hpp>

#include "daemon/status.h"
#include "daemon/stream_sink.h"
#include "model/detokenizer.h"
#include "planner/plan_json.h"

namespace tandem::daemon {

namespace {

constexpr const char* kVersion = TANDEM_VERSION;

ipc::RequestError unavailable(const std::string& message) {
  return {503, "service_unavailable", message};
}

/// `field`: what the client calls the prompt.
ipc::RequestError translated(const engine::RequestRefused& refused, const std::string& field) {
  using Reason = engine::RequestRefused::Reason;
  switch (refused.reason()) {
    case Reason::queue_full:
    case Reason::draining:
      return unavailable(refused.what());
    case Reason::prompt_too_long:
      return {400, "invalid_request_error", refused.what(), field, "context_length_exceeded"};
    case Reason::prompt_empty:
    case Reason::token_out_of_range:
      break;
  }
  return {400, "invalid_request_error", refused.what(), field};
}

model::SamplingParams sampling_of(const ipc::GenerationRequest& request, model::SamplingParams params) {
  params.temperature = request.temperature.value_or(params.temperature);
  params.top_k = request.top_k.value_or(params.top_k);
  params.top_p = request.top_p.value_or(params.top_p);
  params.min_p = request.min_p.value_or(params.min_p);
  params.repetition_penalty = request.repetition_penalty.value_or(params.repetition_penalty);
  params.presence_penalty = request.presence_penalty.value_or(params.presence_penalty);
  params.frequency_penalty = request.frequency_penalty.value_or(params.frequency_penalty);
  for (const auto& [token, bias] : request.logit_bias) params.logit_bias.emplace_back(token, bias);
  params.seed = request.seed ? *request.seed : std::random_device{}();
  return params;
}

/// Wakes a sequence that paused because its client did not read.  The id is known only after the request was
/// submitted, when the client may have read already.
class Resumer {
 public:
  explicit Resumer(engine::Engine& engine) : engine_(&engine) {}

  void know(engine::RequestId id) { id_ = id; }
  void resume() const {
    if (const auto id = id_.load(); id != 0) engine_->resume(id);
  }

 private:
  engine::Engine* engine_;
  std::atomic<engine::RequestId> id_{0};
};

}  // namespace

DaemonService::DaemonService(const model::Tokenizer& tokenizer, Loaded loaded)
    : tokenizer_(tokenizer),
      loaded_(std::move(loaded)),
      plan_json_(planner::plan_to_text(loaded_.plan)),
      preparer_(tokenizer, loaded_.chat, loaded_.chat_limits) {}

void DaemonService::attach(engine::Engine& engine, std::function<std::vector<memory::LedgerLine>()> ledger,
                           const std::optional<memory::VramUse>& vram) {
  ledger_ = std::move(ledger);
  vram_ = vram;
  load_progress_ = 1.0;
  engine_.store(&engine, std::memory_order_release);
}

void DaemonService::drain() {
  draining_ = true;
  if (auto* const running = engine()) running->drain();
}

void DaemonService::submit(ipc::GenerationRequest request, std::shared_ptr<ipc::EventStream> stream) {
  auto& engine = ready_engine();
  const auto resumer = std::make_shared<Resumer>(engine);
  stream->on_drain([resumer] { resumer->resume(); });
  engine::EngineRequest wanted;
  wanted.sampling = sampling_of(request, loaded_.recommended);
  wanted.name = std::move(request.id);
  wanted.owner = std::move(request.owner);
  wanted.prompt = std::move(request.prompt);
  wanted.max_new_tok = request.max_tokens;
  wanted.stop = std::move(request.stop);
  wanted.logprobs = request.logprobs;
  wanted.echo = request.echo;
  if (const auto* rules = dynamic_cast<const EngineRules*>(request.rules.get())) {
    wanted.chat = rules->chat;
    wanted.constraint = rules->constraint;
  }
  const std::string prompt_field = wanted.chat ? "messages" : "prompt";
  try {
    resumer->know(
        engine.submit(std::move(wanted), std::make_shared<StreamSink>(stream, tokenizer_, metrics_)));
  } catch (const engine::RequestRefused& refused) {
    throw translated(refused, prompt_field);
  }
  resumer->resume();
}

bool DaemonService::cancel(std::string_view id) {
  auto* const running = engine();
  if (running == nullptr) return false;
  const auto found = running->find(id);
  return found && running->cancel(*found);
}

std::vector<std::int32_t> DaemonService::tokenize(std::string_view text, bool add_special,
                                                  bool parse_special) {
  const auto special = parse_special ? model::SpecialText::parsed : model::SpecialText::plain;
  return add_special ? tokenizer_.encode_prompt(text, special) : tokenizer_.encode(text, special);
}

std::vector<std::int32_t> DaemonService::prepare_prompt(std::string_view text) {
  refuse_hopeless_prompt(text.size(), tokenizer_, loaded_.card.context_tok, "prompt");
  return tokenize(text, true, true);
}

std::string DaemonService::detokenize(const std::vector<std::int32_t>& ids) {
  model::Detokenizer detokenizer(tokenizer_);
  std::string text;
  for (const auto id : ids) {
    if (id < 0 || static_cast<std::uint32_t>(id) >= tokenizer_.size()) {
      throw ipc::RequestError(400, "invalid_request_error",
                              "token " + std::to_string(id) + " is outside the vocabulary of " +
                                  std::to_string(tokenizer_.size()),
                              "tokens");
    }
    text += detokenizer.push(id);
  }
  return text + detokenizer.finish();
}

ipc::Health DaemonService::health() {
  ipc::Health health;
  health.state = engine() == nullptr ? ipc::ServiceState::loading : ipc::ServiceState::ok;
  if (draining_) health.state = ipc::ServiceState::draining;
  health.load_progress = load_progress_;
  const auto up = std::chrono::steady_clock::now() - start_;
  health.uptime_s = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::seconds>(up).count());
  health.version = kVersion;
  return health;
}

std::string DaemonService::plan_json() {
  auto lines = nlohmann::json::array();
  if (engine() != nullptr) {
    for (const auto& line : ledger_()) {
      lines.push_back({{"device", planner::to_string(line.device)},
                       {"purpose", planner::to_string(line.purpose)},
                       {"planned_bytes", line.planned_bytes},
                       {"allocated_bytes", line.allocated_bytes},
                       {"used_bytes", line.used_bytes},
                       {"high_water_bytes", line.high_water_bytes}});
    }
  }
  nlohmann::json measured;
  if (engine() != nullptr && vram_) {
    measured = {{"allocations", vram_->allocations},
                {"allocated_bytes", vram_->allocated_bytes},
                {"free_memory_shrank_by_bytes", vram_->taken_bytes},
                {"agree", vram_->agree()}};
  }
  return R"({"plan":)" + plan_json_ + R"(,"ledger":)" + lines.dump() + R"(,"measured_vram":)" +
         measured.dump() + "}";
}

std::string DaemonService::metrics_text() {
  auto* const running = engine();
  if (running == nullptr) return metrics_.text({}, {}, preparer_.mask_bytes());
  return metrics_.text(running->stats(), ledger_(), preparer_.mask_bytes());
}

ipc::OrderedJson DaemonService::status() {
  auto* const running = engine();
  if (running == nullptr) return status_of(loaded_.plan, {}, {});
  return status_of(loaded_.plan, running->stats(), ledger_());
}

std::vector<ipc::RequestInfo> DaemonService::requests() {
  std::vector<ipc::RequestInfo> infos;
  auto* const running = engine();
  if (running == nullptr) return infos;
  for (auto& view : running->requests()) {
    infos.push_back({std::move(view.name), std::move(view.owner),
                     std::string(scheduler::to_string(view.state)), view.prompt_tok, view.prompt_done_tok,
                     view.completion_tok, view.max_new_tok, view.age_us});
  }
  return infos;
}

engine::Engine& DaemonService::ready_engine() const {
  if (draining_) throw unavailable("the daemon is shutting down");
  auto* const running = engine();
  if (running == nullptr) throw unavailable("the model is still loading");
  return *running;
}

}  // namespace tandem::daemon
