#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "backends/cpu/repacked.h"
#include "backends/device.h"
#include "daemon/engine/engine.h"
#include "daemon/engine/plan_executor.h"
#include "memory/bind.h"
#include "model/gguf.h"
#include "model/hyperparameters.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/daemon/engine/recording_sink.h"

namespace tandem::engine {

/// A model served as the daemon does it: planned, bound, loaded, executed.
class Served {
 public:
  /// All of it on the CPU.
  Served(const std::filesystem::path& file, const planner::Workload& workload, unsigned threads = 1)
      : Served(model::read_header(file), workload, std::nullopt, nullptr, threads) {}

  /// Where `placement` says; its GPU is `accelerator`.  `before_load` gets the plan when memory is allocated.
  Served(model::Header header, const planner::Workload& workload,
         const std::optional<planner::Placement>& placement, std::unique_ptr<device::Accelerator> accelerator,
         unsigned threads = 1, const std::function<void(memory::BoundPlan&)>& before_load = {})
      : header_(std::move(header)),
        tokenizer_(model::Tokenizer::from_header(header_)),
        accelerator_(std::move(accelerator)),
        bound_(plan(workload, placement), header_, model::read_hyperparameters(header_), accelerator_.get(),
               &cpu::best_repacker()),
        executor_(loaded(bound_, before_load), {.threads = threads, .pin = false}),
        engine_(executor_, *tokenizer_, limits_of(bound_.plan(), 256)) {}

  Engine& engine() { return engine_; }
  [[nodiscard]] const PlanExecutor& executor() const { return executor_; }
  [[nodiscard]] const memory::BoundPlan& bound() const { return bound_; }
  [[nodiscard]] const model::Tokenizer& tokenizer() const { return *tokenizer_; }

  std::shared_ptr<RecordingSink> submit(EngineRequest request) {
    auto sink = std::make_shared<RecordingSink>();
    engine_.submit(std::move(request), sink);
    return sink;
  }

 private:
  [[nodiscard]] planner::Plan plan(const planner::Workload& workload,
                                   const std::optional<planner::Placement>& placement) const {
    const auto hyper = model::read_hyperparameters(header_);
    const auto all_on_cpu = planner::Placement::all_on(planner::Device::cpu, hyper.layers.size());
    return planner::plan_for_placement(planner::model_input(header_, hyper), {}, workload,
                                       planner::builtin_machine("default"), placement.value_or(all_on_cpu));
  }
  static memory::BoundPlan& loaded(memory::BoundPlan& bound,
                                   const std::function<void(memory::BoundPlan&)>& before_load) {
    if (before_load) before_load(bound);
    bound.load({});
    return bound;
  }

  model::Header header_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
  std::unique_ptr<device::Accelerator> accelerator_;
  memory::BoundPlan bound_;
  PlanExecutor executor_;
  Engine engine_;
};

}  // namespace tandem::engine
