#include "cli/plan_options.h"

#include <charconv>
#include <filesystem>

#include "cli/ink.h"
#include "cli/manual/description.h"
#include "cli/open_machine.h"
#include "model/catalogue.h"
#include "model/hyperparameters.h"
#include "planner/errors.h"
#include "planner/machine_parts.h"
#include "planner/names.h"
#include "planner/printable.h"
#include "planner/size_text.h"
#include "planner/sweep.h"

namespace tandem::cli {
namespace {

using planner::BadQuestion;

void add_setting(CLI::App& app, PlanOptions& options) {
  app.add_option("--vram", options.vram, "GPU memory allowed in total [the named card's, else 12GiB]")
      ->type_name("SIZE");
  app.add_option("--ram", options.ram, "main memory allowed in total")
      ->type_name("SIZE")
      ->capture_default_str();
  app.add_option("--context", options.context, "tokens a sequence can hold [the model's, at most 8192]")
      ->type_name("TOKENS");
  app.add_option("--expect-context", options.expect_context, "context at which speed counts [a quarter]")
      ->type_name("TOKENS");
  app.add_option("--sequences", options.sequences, "sequences at once [4]")->type_name("COUNT");
  app.add_option("--micro-batch", options.micro_batch, "rows of a step [512]")->type_name("ROWS");
  app.add_option("--kv-type", options.kv_type, "element type of KV [f16]")
      ->type_name(manual::choice_of(planner::kKvTypeNames));
  app.add_option(
         "--optimise", options.optimise,
         "what placement is for: decode (a token of one sequence), prefill (a prompt), request (a token "
         "of an answer and eight of its prompt), throughput (a token of all sequences) or context (a "
         "token with the whole context in use) [decode]")
      ->type_name(manual::choice_of(planner::kOptimiseNames));
  app.add_option("--head-type", options.head_type,
                 "what an F32, F16 or BF16 head is stored as when it is loaded [keep]")
      ->type_name(manual::choice_of(planner::kHeadTypeNames));
  app.add_option(
         "--stream-rows", options.stream_rows,
         "rows of a prompt's chunk from which weights of FFN halves on the CPU are streamed to the GPU; "
         "0: never [where it pays]")
      ->type_name("ROWS");
  app.add_option(
         "--cpu-weights", options.cpu_weights,
         "how matrices that the CPU multiplies with lie in memory: repacked when they are loaded, which "
         "reads faster, or mapped, used in place in the file [repacked]")
      ->type_name(manual::choice_of(planner::kCpuWeightsNames));
  app.add_option("--devices", options.devices, "what units may be placed on; auto is cpu,cuda")
      ->type_name("auto|cpu|cpu,cuda|cpu,emulated")
      ->capture_default_str();
  app.add_option("--machine", options.machine,
                 "machine profile: a name, a file, CARD+PROCESSOR as in rtx4090+ddr5-5600, or `list`; auto: "
                 "this machine, where tandem calibrate has measured it, else `default`")
      ->type_name("MACHINE|FILE|auto|list")
      ->capture_default_str();
}

void add_questions(CLI::App& app, PlanOptions& options) {
  auto* questions = app.add_option_group("Questions");
  questions->add_flag("--max-context", options.max_context, "the largest context that fits");
  questions->add_flag("--max-sequences", options.max_sequences, "the most sequences that fit");
  questions->add_flag("--min-vram", options.min_vram, "the least VRAM, to the byte");
  questions
      ->add_option("--sweep", options.sweep,
                   "over vram, ram, context or sequences: vram=6GiB:24GiB:1GiB, context=4k:256k:x2")
      ->type_name("RANGE");
  questions->add_option("--target-tps", options.target_tps, "what decodes this many tokens a second")
      ->type_name("RATE");
  questions
      ->add_option("--target-ttft", options.target_ttft,
                   "what gives the first token within this time: 2s, 500ms")
      ->type_name("TIME");
  questions->require_option(0, 1);
}

planner::KvType parse_kv_type(const std::string& text) {
  const auto type = planner::value_of(planner::kKvTypeNames, text);
  if (!type) throw BadQuestion("--kv-type \"" + text + "\" must be f16, q8_0 or f32");
  return *type;
}

planner::Optimise parse_optimise(const std::string& text) {
  const auto optimise = planner::value_of(planner::kOptimiseNames, text);
  if (!optimise) {
    throw BadQuestion("--optimise \"" + text + "\" must be decode, prefill, request, throughput or context");
  }
  return *optimise;
}

planner::HeadType parse_head_type(const std::string& text) {
  const auto type = planner::value_of(planner::kHeadTypeNames, text);
  if (!type) throw BadQuestion("--head-type \"" + text + "\" must be keep, q8_0 or q6_k");
  return *type;
}

planner::CpuWeights parse_cpu_weights(const std::string& text) {
  const auto weights = planner::value_of(planner::kCpuWeightsNames, text);
  if (!weights) throw BadQuestion("--cpu-weights \"" + text + "\" must be repacked or mapped");
  return *weights;
}

planner::Workload workload_of(const PlanOptions& options, const model::Hyperparameters& hyper) {
  auto workload = planner::default_workload(hyper);
  const auto count = [](const char* what, const std::string& text, auto& value, std::uint64_t max) {
    if (!text.empty())
      value = static_cast<std::decay_t<decltype(value)>>(planner::parse_tokens(what, text, max));
  };
  count("--context", options.context, workload.max_seq_len, planner::kMaxContext);
  count("--expect-context", options.expect_context, workload.expected_context, planner::kMaxContext);
  count("--sequences", options.sequences, workload.sequences, planner::kMaxSequences);
  count("--micro-batch", options.micro_batch, workload.micro_batch, planner::kMaxMicroBatch);
  if (options.stream_rows == "0") {
    workload.stream_rows = 0;
  } else {
    std::uint32_t rows = 0;
    count("--stream-rows", options.stream_rows, rows, planner::kMaxMicroBatch);
    if (rows > 0) workload.stream_rows = rows;
  }
  if (!options.kv_type.empty()) workload.kv_type = parse_kv_type(options.kv_type);
  if (!options.head_type.empty()) workload.head_type = parse_head_type(options.head_type);
  if (!options.cpu_weights.empty()) workload.cpu_weights = parse_cpu_weights(options.cpu_weights);
  if (!options.optimise.empty()) workload.optimise = parse_optimise(options.optimise);
  return workload;
}

planner::Budget budget_of(const PlanOptions& options) {
  planner::Budget budget;
  const auto card_bytes = planner::card_bytes(options.machine);
  if (card_bytes) budget.vram_bytes = *card_bytes;
  if (!options.vram.empty()) budget.vram_bytes = planner::parse_size("--vram", options.vram);
  budget.ram_bytes = planner::parse_size("--ram", options.ram);
  return budget;
}

/// A number from a thousandth to a million with one of `units` behind it, the first of which may be left out;
/// in the first unit.
double parse_quantity(const std::string& what, const std::string& text,
                      const std::vector<std::pair<std::string, double>>& units) {
  double number = 0;
  const auto* const end = text.data() + text.size();
  const auto [rest, error] = std::from_chars(text.data(), end, number);
  const std::string unit(rest, end);
  for (const auto& [name, factor] : units) {
    const bool is_this = unit == name || (unit.empty() && factor == 1);
    const auto value = number * factor;
    if (error == std::errc{} && is_this && value >= 0.001 && value <= 1e6) return value;
  }
  throw BadQuestion(what + " \"" + text + "\" must be a number from 0.001 to 1000000" +
                    (units.size() > 1 ? ", in s or ms" : ""));
}

/// What answers call a model: its catalogue name, or its file's without folder and ending.
std::string alias_of(const std::string& model) {
  if (model.starts_with(model::kCataloguePrefix)) return model.substr(model::kCataloguePrefix.size());
  return planner::printable(std::filesystem::path(model).stem().string());
}

}  // namespace

void add_plan_options(CLI::App& app, PlanOptions& options) {
  auto* models = app.add_option("MODEL", options.models,
                                "GGUF file, first part of a split, header alone, or catalogue:NAME; several "
                                "are compared")
                     ->type_name("FILE|catalogue:NAME");
  app.add_option("--socket", options.socket,
                 "instead of planning, show what the daemon listening there executes")
      ->type_name("FILE")
      ->excludes(models);
  add_setting(app, options);
  add_questions(app, options);
  app.add_flag("--json", options.json, "print JSON");
  app.add_option("--svg", options.svg, "draw the plan, or the sweep, into this file as well")
      ->type_name("FILE");
  add_color_option(app, options.color, "whether to colour; auto minds NO_COLOR");
}

planner::Setting setting_of(const PlanOptions& options, const std::string& model) {
  const auto budget = budget_of(options);
  const auto devices = planner::parse_devices(options.devices);
  auto machine = open_machine(options.machine);
  const auto header = model::open_model(model);
  const auto hyper = model::read_hyperparameters(header);
  return {planner::model_input(header, hyper),
          budget,
          workload_of(options, hyper),
          std::move(machine),
          devices,
          alias_of(model)};
}

bool asks_question(const PlanOptions& options) {
  return options.max_context || options.max_sequences || options.min_vram || !options.sweep.empty() ||
         !options.target_tps.empty() || !options.target_ttft.empty();
}

planner::Target target_of(const PlanOptions& options) {
  if (!options.target_tps.empty()) {
    return {planner::TargetKind::decode_tok_per_s,
            parse_quantity("--target-tps", options.target_tps, {{"", 1}})};
  }
  return {planner::TargetKind::first_token_s,
          parse_quantity("--target-ttft", options.target_ttft, {{"s", 1}, {"ms", 1e-3}})};
}

}  // namespace tandem::cli
