#include <iostream>
#include <memory>
#include <string>

#include "cli/commands.h"
#include "cli/open_machine.h"
#include "ipc/client.h"
#include "model/catalogue.h"
#include "model/hyperparameters.h"
#include "planner/errors.h"
#include "planner/make_plan.h"
#include "planner/names.h"
#include "planner/plan_json.h"
#include "planner/plan_table.h"
#include "planner/size_text.h"

namespace tandem::cli {
namespace {

/// Options as typed; empty means not given.
struct PlanOptions {
  std::string model;
  std::string socket;
  std::string vram = "12GiB";
  std::string ram = "64GiB";
  std::string context;
  std::string expect_context;
  std::string sequences;
  std::string micro_batch;
  std::string kv_type;
  std::string devices = "auto";
  std::string machine = "default";
  bool json = false;
};

void add_options(CLI::App& app, PlanOptions& options) {
  auto* model = app.add_option("MODEL", options.model,
                               "GGUF file, first part of a split, header alone, or catalogue:NAME");
  app.add_option("--socket", options.socket,
                 "instead of planning, show what the daemon listening there executes")
      ->excludes(model);
  app.add_option("--vram", options.vram, "GPU memory allowed in total")->capture_default_str();
  app.add_option("--ram", options.ram, "main memory allowed in total")->capture_default_str();
  app.add_option("--context", options.context, "tokens a sequence can hold [the model's, at most 8192]");
  app.add_option("--expect-context", options.expect_context, "context at which speed counts [a quarter]");
  app.add_option("--sequences", options.sequences, "sequences at once [4]");
  app.add_option("--micro-batch", options.micro_batch, "rows of a step [512]");
  app.add_option("--kv-type", options.kv_type, "f16, q8_0 or f32 [f16]");
  app.add_option("--devices", options.devices, "auto, cpu, cpu,cuda or cpu,emulated")->capture_default_str();
  app.add_option("--machine", options.machine, "machine profile: a name or a file")->capture_default_str();
  app.add_flag("--json", options.json, "print plan JSON");
}

planner::KvType parse_kv_type(const std::string& text) {
  const auto type = planner::value_of(planner::kKvTypeNames, text);
  if (!type) throw planner::BadQuestion("--kv-type \"" + text + "\" must be f16, q8_0 or f32");
  return *type;
}

planner::Workload workload_of(const PlanOptions& options, const model::Hyperparameters& hyper) {
  auto workload = planner::default_workload(hyper);
  const auto count = [](const char* what, const std::string& text, auto& value, std::uint64_t max) {
    if (!text.empty())
      value = static_cast<std::decay_t<decltype(value)>>(planner::parse_count(what, text, max));
  };
  count("--context", options.context, workload.max_seq_len, planner::kMaxContext);
  count("--expect-context", options.expect_context, workload.expected_context, planner::kMaxContext);
  count("--sequences", options.sequences, workload.sequences, planner::kMaxSequences);
  count("--micro-batch", options.micro_batch, workload.micro_batch, planner::kMaxMicroBatch);
  if (!options.kv_type.empty()) workload.kv_type = parse_kv_type(options.kv_type);
  return workload;
}

/// The plan that a daemon executes; as JSON with the bytes that it has really allocated.
int show_daemon_plan(const PlanOptions& options) {
  const auto reply = ipc::Client(options.socket).get("/v1/plan");
  const auto answer = ipc::json_of(reply);
  if (options.json) {
    std::cout << reply.body << "\n";
  } else {
    std::cout << planner::plan_table(planner::parse_plan(answer.at("plan").dump()));
  }
  return kOk;
}

int make_new_plan(const PlanOptions& options) {
  planner::Budget budget;
  budget.vram_bytes = planner::parse_size("--vram", options.vram);
  budget.ram_bytes = planner::parse_size("--ram", options.ram);
  const auto devices = planner::parse_devices(options.devices);
  const auto machine = open_machine(options.machine);
  const auto header = model::open_model(options.model);
  const auto hyper = model::read_hyperparameters(header);
  const auto plan = planner::make_plan(planner::model_input(header, hyper), budget,
                                       workload_of(options, hyper), machine, devices);
  std::cout << (options.json ? planner::plan_to_text(plan) : planner::plan_table(plan));
  return plan.fits ? kFits : kDoesNotFit;
}

int run_plan(const PlanOptions& options) {
  if (!options.socket.empty()) return show_daemon_plan(options);
  if (options.model.empty())
    throw planner::BadQuestion("plan: MODEL or --socket is required", "see tandem plan --help");
  return make_new_plan(options);
}

}  // namespace

Command plan_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("plan", "Say where a model would go, to the byte, from its header alone");
  app->footer("Sizes: bytes, or KB MB GB, KiB MiB GiB.\nExit: 0 fits, 1 usage, 2 does not fit, 3 bad model.");
  const auto options = std::make_shared<PlanOptions>();
  add_options(*app, *options);
  return {app, [options] { return run_plan(*options); }};
}

}  // namespace tandem::cli
