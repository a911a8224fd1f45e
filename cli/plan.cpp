#include <algorithm>
#include <cerrno>
#include <fstream>
#include <iostream>
#include <memory>
#include <string>
#include <system_error>
#include <vector>

#include "cli/commands.h"
#include "cli/ink.h"
#include "cli/open_machine.h"
#include "cli/plan_options.h"
#include "ipc/client.h"
#include "planner/answer_json.h"
#include "planner/answer_table.h"
#include "planner/chart.h"
#include "planner/errors.h"
#include "planner/machine_parts.h"
#include "planner/machine_table.h"
#include "planner/make_plan.h"
#include "planner/plan_json.h"
#include "planner/plan_svg.h"
#include "planner/plan_table.h"
#include "planner/reasons.h"
#include "planner/sweep.h"

namespace tandem::cli {
namespace {

/// Nothing may be asked for that is not done: but for how it is printed, `options` are `all`.
void refuse_more(const PlanOptions& options, PlanOptions all, const std::string& what) {
  all.json = options.json;
  all.color = options.color;
  if (options != all) throw planner::BadQuestion(what, "ask for the rest without it");
}

void write_picture(const std::string& path, const std::string& picture) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << picture << std::flush;
  if (!file) throw Error("cannot write " + path + ": " + std::generic_category().message(errno));
}

/// The plan that a daemon executes; as JSON with the bytes that it has really allocated.
int show_daemon_plan(const PlanOptions& options) {
  PlanOptions showing;
  showing.socket = options.socket;
  showing.svg = options.svg;
  refuse_more(options, std::move(showing), "--socket shows the plan that a daemon executes as it is");
  const auto reply = ipc::Client(options.socket).get("/v1/plan");
  const auto plan = planner::parse_plan(ipc::json_of(reply).at("plan").dump());
  if (!options.svg.empty()) write_picture(options.svg, planner::plan_svg(plan));
  if (options.json) {
    std::cout << reply.body << "\n";
  } else {
    std::cout << planner::plan_table(plan, ink_for(options.color));
  }
  return kOk;
}

int list_machines(const PlanOptions& options) {
  PlanOptions listing;
  listing.machine = options.machine;
  refuse_more(options, std::move(listing), "--machine list lists machines and plans nothing");
  std::cout << (options.json ? planner::machines_to_text() : planner::machine_table());
  return kOk;
}

int make_new_plan(const PlanOptions& options) {
  const auto ink = ink_for(options.color);
  const auto setting = setting_of(options, options.models.front());
  auto plan =
      planner::make_plan(setting.model, setting.budget, setting.workload, setting.machine, setting.devices);
  if (options.machine == kThisMachine) plan.reasons.push_back(planner::times_line(setting.machine));
  if (!options.svg.empty()) write_picture(options.svg, planner::plan_svg(plan));
  std::cout << (options.json ? planner::plan_to_text(plan) : planner::plan_table(plan, ink));
  return plan.fits ? kFits : kDoesNotFit;
}

planner::Answer answer_for(const PlanOptions& options, const planner::Setting& setting) {
  if (options.max_context) return planner::max_context(setting);
  if (options.max_sequences) return planner::max_sequences(setting);
  if (options.min_vram) return planner::min_vram(setting);
  if (!options.sweep.empty()) return planner::sweep(setting, planner::parse_sweep(options.sweep));
  return planner::what_reaches(setting, target_of(options), planner::known_gpus());
}

/// An answer for each model, or one that compares them all.
std::vector<planner::Answer> answers_for(const PlanOptions& options) {
  std::vector<planner::Setting> settings;
  for (const auto& model : options.models) settings.push_back(setting_of(options, model));
  if (!asks_question(options)) return {planner::compare(settings)};
  std::vector<planner::Answer> answers(settings.size());
  std::ranges::transform(settings, answers.begin(),
                         [&options](const auto& setting) { return answer_for(options, setting); });
  return answers;
}

void print_answers(const std::vector<planner::Answer>& answers, planner::Ink ink) {
  const char* separator = "";
  for (const auto& answer : answers) {
    std::cout << separator << planner::answer_table(answer);
    separator = "\n";
  }
  const auto charts = planner::charts_of(answers);
  if (!charts.empty()) std::cout << "\n" << planner::chart_text(charts.front(), ink);
}

int answer_questions(const PlanOptions& options) {
  const auto ink = ink_for(options.color);
  if (!options.svg.empty() && options.sweep.empty())
    throw planner::BadQuestion("--svg draws one plan or a sweep", "ask without it, or for one of them");
  const auto answers = answers_for(options);
  if (!options.svg.empty()) {
    const auto title = "sweep of " + options.sweep + " on " + open_machine(options.machine).name;
    write_picture(options.svg, planner::charts_svg(planner::charts_of(answers), title));
  }
  if (options.json) {
    std::cout << planner::answers_to_text(answers);
  } else {
    print_answers(answers, ink);
  }
  return std::ranges::any_of(answers, &planner::Answer::answered) ? kOk : kDoesNotFit;
}

int run_plan(const PlanOptions& options) {
  if (!options.socket.empty()) return show_daemon_plan(options);
  if (options.machine == "list") return list_machines(options);
  if (options.models.empty())
    throw planner::BadQuestion("plan: MODEL or --socket is required", "see tandem plan --help");
  if (options.models.size() == 1 && !asks_question(options)) return make_new_plan(options);
  return answer_questions(options);
}

}  // namespace

Command plan_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("plan", "Say where a model would go, to the byte, from its header alone");
  app->footer(
      "Sizes: bytes, or KB MB GB, KiB MiB GiB; 4k tokens are 4096.\n"
      "Exit: 0 fits, 1 usage, 2 does not fit, 3 bad model.\n"
      "Questions, sweeps and several models: 0 something fits, and reaches the target, 2 nothing does.");
  const auto options = std::make_shared<PlanOptions>();
  add_plan_options(*app, *options);
  return {app, [options] { return run_plan(*options); }};
}

}  // namespace tandem::cli
