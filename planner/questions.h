#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "planner/make_plan.h"

namespace tandem::planner {

/// All that a plan is made of.  A question varies one part of it and keeps the others as they are.
struct Setting {
  ModelInput model;
  Budget budget;
  Workload workload;
  MachineProfile machine;
  Devices devices;
  std::string alias = {};  ///< what answers call the model, as two files may have one name; empty: its name

  [[nodiscard]] const std::string& name() const noexcept { return alias.empty() ? model.facts.name : alias; }
};

/// The setting's plan, without reasons.
Plan plan_of(const Setting& setting);

/// Some plan of the setting fits.
bool fits(const Setting& setting);

/// The same setting with another context; the expected one is cut to it.
Setting with_context(Setting setting, std::uint64_t max_seq_len);

/// For answers about contexts: how long a context the model was trained for.
std::string training_note(const ModelInput& model);

/// One line of an answer.
struct AnswerRow {
  std::string label;                   ///< "all on the GPU", "6 GiB", "rtx4090+ddr5-5600"
  std::optional<std::uint64_t> value;  ///< what was searched for or varied, in the answer's unit
  std::optional<Plan> plan;            ///< nothing where there is none; without reasons
  bool holds = false;                  ///< the plan fits, and reaches the target if there is one
};

/// What a question comes to.
struct Answer {
  std::string question;  ///< "max-context"
  std::string model;     ///< Setting::name; empty where every row has its own
  std::string unit;      ///< of the rows' values: "tokens", "sequences", "bytes"; empty where there are none
  std::string searched;  ///< exactly what was looked through, in words
  std::vector<AnswerRow> rows = {};
  std::vector<std::string> notes = {};  ///< what a reader should know beside it

  /// Some row holds.
  [[nodiscard]] bool answered() const noexcept;
};

/// The largest context of a sequence: that fits at all, and that fits with everything on the GPU; which is
/// here and below everything that it can run (planner/gpu_rules.h), and a note says what that is without.
///
/// By bisection, as no arena of a given placement shrinks with the context: if a placement fits, it fits at
/// every shorter context, and the planner finds one that fits where there is one.
Answer max_context(const Setting& setting);

/// The most sequences at once: that fit at all, and with everything on the GPU.  At most as many as a
/// micro-batch has rows for.  By bisection, as for max_context.
Answer max_sequences(const Setting& setting);

/// The least VRAM, to the byte: at which all fits (0 where the CPU can carry everything), and at which
/// everything is on the GPU.  By bisection: what fits a budget fits a larger one.
Answer min_vram(const Setting& setting);

/// Each setting's plan, a row for each, labelled by its name.
Answer compare(const std::vector<Setting>& settings);

}  // namespace tandem::planner
