#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/chat_preparer.h"
#include "daemon/engine/engine.h"
#include "daemon/metrics.h"
#include "ipc/service.h"
#include "memory/arena.h"
#include "memory/vram_use.h"
#include "model/sampling.h"
#include "model/tokenizer.h"
#include "planner/plan.h"

namespace tandem::daemon {

/// What the daemon knows before the model is in memory.
struct Loaded {
  ipc::ModelCard card;
  std::optional<model::ChatFormat> chat;  ///< none: the model cannot chat
  planner::Plan plan;
  model::SamplingParams recommended;
  ChatLimits chat_limits = {};
};

/// The daemon's side of the wire: translates requests to the engine and its events back.  Serves health, the
/// plan and tokenising from the start, and the rest once `attach` was called.  Thread-safe.
class DaemonService final : public ipc::Service {
 public:
  /// `tokenizer` outlives the service.
  DaemonService(const model::Tokenizer& tokenizer, Loaded loaded);

  /// 0 .. 1 while the model loads.
  void set_load_progress(double share) noexcept { load_progress_ = share; }
  /// From now on requests are taken.  `ledger` tells what is allocated, `vram` what a GPU's driver said when
  /// that was done.  No call may come after `engine` has ended: the server that makes the calls goes first.
  void attach(engine::Engine& engine, std::function<std::vector<memory::LedgerLine>()> ledger,
              const std::optional<memory::VramUse>& vram);
  /// From now on requests are refused; those that run go on.
  void drain();

  void submit(ipc::GenerationRequest request, std::shared_ptr<ipc::EventStream> stream) override;
  bool cancel(std::string_view id) override;
  std::vector<std::int32_t> tokenize(std::string_view text, bool add_special, bool parse_special) override;
  std::vector<std::int32_t> prepare_prompt(std::string_view text) override;
  std::string detokenize(const std::vector<std::int32_t>& ids) override;
  ipc::PreparedChat prepare_chat(const ipc::ChatRequest& chat) override {
    return preparer_.prepare_chat(chat);
  }
  std::shared_ptr<const ipc::AnswerRules> prepare_format(const ipc::AnswerFormat& format) override {
    return preparer_.prepare_format(format);
  }
  ipc::ModelCard model() override { return loaded_.card; }
  ipc::Health health() override;
  std::string plan_json() override;
  std::string metrics_text() override;
  ipc::OrderedJson status() override;
  std::vector<ipc::RequestInfo> requests() override;

 private:
  [[nodiscard]] engine::Engine* engine() const noexcept { return engine_.load(std::memory_order_acquire); }
  [[nodiscard]] engine::Engine& ready_engine() const;

  const model::Tokenizer& tokenizer_;
  const Loaded loaded_;
  const std::string plan_json_;  ///< loaded_.plan as text
  ChatPreparer preparer_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  Metrics metrics_;
  // Set before engine_, constant afterwards.
  std::function<std::vector<memory::LedgerLine>()> ledger_;
  std::optional<memory::VramUse> vram_;  ///< none in plans of the CPU alone
  std::atomic<engine::Engine*> engine_{nullptr};
  std::atomic<double> load_progress_{0.0};
  std::atomic<bool> draining_{false};
};

}  // namespace tandem::daemon
