#include "planner/sweep.h"

#include <array>
#include <charconv>
#include <optional>
#include <string>
#include <utility>

#include "model/checked.h"
#include "model/nearest.h"
#include "planner/errors.h"
#include "planner/names.h"
#include "planner/size_text.h"

namespace tandem::planner {
namespace {

constexpr std::array kVariableNames{Name<SweepVariable>{SweepVariable::vram, "vram"},
                                    Name<SweepVariable>{SweepVariable::ram, "ram"},
                                    Name<SweepVariable>{SweepVariable::context, "context"},
                                    Name<SweepVariable>{SweepVariable::sequences, "sequences"}};

[[noreturn]] void refuse(std::string_view text, const std::string& problem) {
  throw BadQuestion("--sweep \"" + std::string(text) + "\": " + problem,
                    "a sweep is VARIABLE=FIRST:LAST:STEP, as in vram=6GiB:24GiB:1GiB or context=4k:256k:x2");
}

SweepVariable variable_called(std::string_view name, std::string_view text) {
  const auto variable = value_of(kVariableNames, name);
  if (variable) return *variable;
  constexpr std::array<std::string_view, 4> kNames{"vram", "ram", "context", "sequences"};
  refuse(text, "nothing called \"" + std::string(name) + "\" can be swept; the nearest is \"" +
                   std::string(model::nearest(name, kNames)) + "\"");
}

/// `text` as a value of `variable`.
std::uint64_t value_of_variable(SweepVariable variable, std::string_view text) {
  switch (variable) {
    case SweepVariable::vram:
    case SweepVariable::ram:
      return parse_size("--sweep", text);
    case SweepVariable::context:
      return parse_tokens("--sweep", text, kMaxContext);
    case SweepVariable::sequences:
      break;
  }
  return parse_tokens("--sweep", text, kMaxSequences);
}

/// `text` split at its colons.
std::vector<std::string_view> parts_of(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const auto colon = text.find(':');
    parts.push_back(text.substr(0, colon));
    if (colon == std::string_view::npos) return parts;
    text.remove_prefix(colon + 1);
  }
}

struct Step {
  std::uint64_t number = 0;
  bool multiplies = false;
};

Step parse_step(SweepVariable variable, std::string_view step, std::string_view text) {
  if (!step.starts_with('x')) {
    const auto number = value_of_variable(variable, step);
    if (number == 0) refuse(text, "a step of 0 goes nowhere");
    return {number, false};
  }
  const auto factor = parse_count("--sweep", step.substr(1), 1'000'000);
  if (factor < 2) refuse(text, "a factor must be at least 2");
  return {factor, true};
}

Setting with_value(Setting setting, SweepVariable variable, std::uint64_t value) {
  switch (variable) {
    case SweepVariable::vram:
      setting.budget.vram_bytes = value;
      break;
    case SweepVariable::ram:
      setting.budget.ram_bytes = value;
      break;
    case SweepVariable::context:
      return with_context(std::move(setting), value);
    case SweepVariable::sequences:
      setting.workload.sequences = static_cast<std::uint32_t>(value);
      break;
  }
  return setting;
}

std::string_view unit_of(SweepVariable variable) noexcept {
  if (variable == SweepVariable::context) return "tokens";
  if (variable == SweepVariable::sequences) return "sequences";
  return "bytes";
}

/// A size in its largest unit; nothing for a count, which the value shows as well.
std::string label_of(SweepVariable variable, std::uint64_t value) {
  return unit_of(variable) == "bytes" ? exact_size(value) : "";
}

}  // namespace

std::string_view to_string(SweepVariable variable) noexcept {
  return name_of(kVariableNames, variable);
}

std::uint64_t parse_tokens(std::string_view what, std::string_view text, std::uint64_t max) {
  std::uint64_t factor = 1;
  auto digits = text;
  if (text.ends_with('k') || text.ends_with('K')) factor = 1024;
  if (text.ends_with('m') || text.ends_with('M')) factor = std::uint64_t{1024} * 1024;
  if (factor > 1) digits.remove_suffix(1);
  std::uint64_t number = 0;
  const auto* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, number);
  if (error == std::errc{} && rest == end && number <= max / factor) return number * factor;
  refuse_count(what, text, max);
}

Sweep parse_sweep(std::string_view text) {
  const auto equals = text.find('=');
  if (equals == std::string_view::npos) refuse(text, "no \"=\"");
  Sweep sweep{variable_called(text.substr(0, equals), text), {}};
  const auto parts = parts_of(text.substr(equals + 1));
  if (parts.size() != 3) refuse(text, "not three values with colons between them");
  const auto first = value_of_variable(sweep.variable, parts[0]);
  const auto last = value_of_variable(sweep.variable, parts[1]);
  const auto step = parse_step(sweep.variable, parts[2], text);
  if (first > last) refuse(text, "the first value is larger than the last");
  if (step.multiplies && first == 0) refuse(text, "0 stays 0 when multiplied");
  std::optional<std::uint64_t> value = first;
  while (value && *value <= last) {
    if (sweep.values.size() == kMaxSweepPoints) {
      refuse(text, "more than " + std::to_string(kMaxSweepPoints) + " points");
    }
    sweep.values.push_back(*value);
    value =
        step.multiplies ? model::checked_mul(*value, step.number) : model::checked_add(*value, step.number);
  }
  return sweep;
}

Answer sweep(const Setting& setting, const Sweep& values) {
  const auto name = std::string(to_string(values.variable));
  Answer answer{"sweep " + name, setting.name(), std::string(unit_of(values.variable)),
                std::to_string(values.values.size()) +
                    (values.values.size() == 1 ? " value of " : " values of ") + name + ", each placed for " +
                    std::string(to_string(setting.workload.optimise))};
  for (const auto value : values.values) {
    auto plan = plan_of(with_value(setting, values.variable, value));
    const bool fits = plan.fits;
    answer.rows.push_back({label_of(values.variable, value), value, std::move(plan), fits});
  }
  if (values.variable == SweepVariable::context) answer.notes.push_back(training_note(setting.model));
  return answer;
}

}  // namespace tandem::planner
