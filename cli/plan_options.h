#pragma once

#include <string>
#include <vector>

#include <CLI/CLI.hpp>

#include "planner/questions.h"
#include "planner/targets.h"

namespace tandem::cli {

/// Options of `tandem plan` as typed; empty means not given.
struct PlanOptions {
  std::vector<std::string> models;
  std::string socket;
  std::string vram;
  std::string ram = "64GiB";
  std::string context;
  std::string expect_context;
  std::string sequences;
  std::string micro_batch;
  std::string kv_type;
  std::string optimise;
  std::string head_type;
  std::string stream_rows;
  std::string cpu_weights;
  std::string devices = "auto";
  std::string machine = "auto";
  bool max_context = false;
  bool max_sequences = false;
  bool min_vram = false;
  std::string sweep;
  std::string target_tps;
  std::string target_ttft;
  bool json = false;
  std::string svg;  ///< file
  std::string color = "auto";

  bool operator==(const PlanOptions&) const = default;
};

void add_plan_options(CLI::App& app, PlanOptions& options);

/// All that is asked about one model, read from its header.  Throws BadQuestion, and what model::open_model
/// throws.
planner::Setting setting_of(const PlanOptions& options, const std::string& model);

/// A question is asked beyond "where does it go".
bool asks_question(const PlanOptions& options);

/// The target of --target-tps or --target-ttft; one of them is given.
planner::Target target_of(const PlanOptions& options);

}  // namespace tandem::cli
