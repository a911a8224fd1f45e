#include "planner/answer_table.h"

#include <algorithm>

#include "planner/columns.h"
#include "planner/size_text.h"
#include "planner/targets.h"

namespace tandem::planner {
namespace {

// Columns: a mark, the label, the value, then memory, speeds and units; 80 together.
constexpr std::size_t kMarkColumns = 4;
constexpr std::size_t kAnswerLabelColumns = 18;
constexpr std::size_t kValueColumns = 15;
constexpr std::size_t kSizeColumns = 8;
constexpr std::size_t kSpeedColumns = 7;
constexpr std::size_t kUnitColumns = 6;

/// Rows without a value have its column for their label.
std::size_t label_columns(const Answer& answer) {
  return answer.unit.empty() ? kAnswerLabelColumns + kValueColumns : kAnswerLabelColumns;
}

/// Where sequences are counted, speed of all of them says more than one's first token.
bool shows_throughput(const Answer& answer) {
  return answer.unit == "sequences";
}

std::string heading(const Answer& answer) {
  auto text = padded_right("", kMarkColumns + label_columns(answer));
  if (!answer.unit.empty()) text += padded_left(answer.unit, kValueColumns);
  text += padded_left("VRAM", kSizeColumns) + padded_left("RAM", kSizeColumns);
  text += padded_left("tok/s", kSpeedColumns) + padded_left("prompt", kSpeedColumns);
  return text + padded_left(shows_throughput(answer) ? "all" : "first", kSpeedColumns) +
         padded_left("GPU", kUnitColumns) + "\n";
}

/// Units on the GPU, of 100: "all", "87%", "none".
std::string gpu_share(const Plan& plan) {
  const auto units = 2 * plan.layers.size() + 1;
  const auto on_gpu = units - units_on(plan, Device::cpu).size();
  if (on_gpu == units) return "all";
  if (on_gpu == 0) return "none";
  return std::to_string(std::clamp<std::size_t>(100 * on_gpu / units, 1, 99)) + "%";
}

std::string plan_columns(const Answer& answer, const Plan& plan) {
  const auto last_speed = shows_throughput(answer) ? three_digits(plan.predicted.throughput_tok_per_s)
                                                   : short_duration(first_token_s(plan));
  return padded_left(short_size(plan.vram_bytes), kSizeColumns) +
         padded_left(short_size(plan.ram_bytes), kSizeColumns) +
         padded_left(three_digits(plan.predicted.decode_tok_per_s), kSpeedColumns) +
         padded_left(three_digits(plan.predicted.prefill_tok_per_s), kSpeedColumns) +
         padded_left(last_speed, kSpeedColumns) + padded_left(gpu_share(plan), kUnitColumns);
}

std::string row_text(const Answer& answer, const AnswerRow& row) {
  auto text =
      padded_right(row.holds ? "yes" : "no", kMarkColumns) + padded_right(row.label, label_columns(answer));
  if (!answer.unit.empty()) text += padded_left(row.value ? grouped(*row.value) : "-", kValueColumns);
  return text + (row.plan ? plan_columns(answer, *row.plan) : "  nothing does") + "\n";
}

}  // namespace

std::string answer_table(const Answer& answer) {
  auto text = wrapped("question    ", answer.question + (answer.model.empty() ? "" : ", " + answer.model));
  text += wrapped("searched    ", answer.searched) + "\n" + heading(answer);
  for (const auto& row : answer.rows) text += row_text(answer, row);
  for (const auto& note : answer.notes) text += "\n" + wrapped("", note);
  const auto with_plan =
      std::ranges::find_if(answer.rows, [](const auto& row) { return row.plan.has_value(); });
  if (with_plan == answer.rows.end()) return text;
  const auto* const last_column =
      shows_throughput(answer) ? "all: tok/s of all sequences together." : "first: time to its first token.";
  return text + "\n" +
         wrapped("", std::string(
                         "tok/s: one sequence decoding at its expected context. prompt: tok/s of a prompt "
                         "as long. ") +
                         last_column + " GPU: units there.");
}

}  // namespace tandem::planner
