// Whole models on a device, or on it and the CPU: bytes planned and taken, decode and prefill, what the
// projections alone take, how far the two devices work at the same time, and whether a prompt's logits are
// right.  Markdown on stdout, everything as JSON in a file.

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <string>

#include <CLI/CLI.hpp>
#include <spdlog/spdlog.h>

#include "bench/on_gpu/report.h"
#include "bench/on_gpu/subject.h"
#include "planner/names.h"
#include "planner/size_text.h"

namespace {

using namespace tandem;
using namespace tandem::bench;

struct Options : SubjectOptions {
  std::string json;
  double most_rest_ms = 0;  ///< goal for all of a decode step but its projections; 0: none
  bool against_cpu = false;
};

// Goals of a machine with a GPU.
constexpr double kShareOfSerialBound = 0.90;
constexpr double kShareOfOverlapBound = 0.85;
constexpr double kOverlapOfShorter = 0.5;

/// Bytes that the plan takes of the device when it is bound: all lines but the driver's and those that nobody
/// allocates.
std::uint64_t planned_bytes(const std::vector<memory::LedgerLine>& ledger) {
  std::uint64_t bytes = 0;
  for (const auto& line : ledger) {
    const bool there = line.device != planner::Device::cpu && line.purpose != planner::Purpose::driver;
    if (there && line.allocated_bytes != 0) bytes += line.planned_bytes;
  }
  return bytes;
}

Json bytes_report(const Subject& subject) {
  Json lines = Json::array();
  bool balances = true;
  std::uint64_t graphs_bytes = 0;
  for (const auto& line : subject.ledger()) {
    if (line.purpose == planner::Purpose::graphs) graphs_bytes += line.used_bytes;
    lines.push_back({{"device", planner::to_string(line.device)},
                     {"purpose", planner::to_string(line.purpose)},
                     {"planned_bytes", line.planned_bytes},
                     {"allocated_bytes", line.allocated_bytes},
                     {"used_bytes", line.used_bytes}});
    if (line.allocated_bytes != 0) balances = balances && line.planned_bytes == line.allocated_bytes;
  }
  const auto use = subject.vram_use();
  return {{"planned_vram_bytes", subject.plan().vram_bytes},
          {"driver_bytes", subject.driver_bytes()},
          {"planned_allocations_bytes", planned_bytes(subject.ledger())},
          {"allocations", use.allocations},
          {"allocated_bytes", use.allocated_bytes},
          {"free_memory_shrank_by_bytes", use.taken_bytes},
          {"driver_agrees", use.agree()},
          {"graphs_bytes", graphs_bytes},
          {"ledger_balances", balances},
          {"ledger", lines}};
}

/// The first intervals, as pairs of milliseconds.
Json trace_of(const std::vector<Interval>& intervals) {
  constexpr std::size_t kMost = 16;
  Json trace = Json::array();
  for (const auto& interval : intervals) {
    if (trace.size() == kMost) break;
    trace.push_back({interval.begin_s * 1e3, interval.end_s * 1e3});
  }
  return trace;
}

Json to_json(const StepTimes& times, double tokens) {
  return {{"ms", times.step_s * 1e3},
          {"tok_per_s", tokens / times.step_s},
          {"device_ms", times.device_s * 1e3},
          {"cpu_ms", times.cpu_s * 1e3},
          {"overlap_ms", times.overlap_s * 1e3}};
}

/// One sequence against both devices in turn, two against the slower of them.
Json split_report(const StepTimes& one, const StepTimes& two) {
  const auto slower_s = std::max(one.device_s, one.cpu_s);
  const auto shorter_s = std::min(two.device_s, two.cpu_s);
  return {{"one_sequence_of_serial_bound", (one.device_s + one.cpu_s) / one.step_s},
          {"two_sequences_of_overlap_bound", 2 * slower_s / two.step_s},
          {"overlap_of_shorter", shorter_s > 0 ? two.overlap_s / shorter_s : 0}};
}

double number(const Json& value) {
  return value.get<double>();
}

std::string digits(const Json& value) {
  return planner::grouped(value.get<std::uint64_t>());
}

void print_goal(const char* what, double value, double goal, bool reached) {
  std::printf("* %s: %.2f, goal %.2f: %s\n", what, value, goal, reached ? "reached" : "NOT REACHED");
}

void print_bytes(const Json& report) {
  const auto& bytes = report["bytes"];
  std::printf(
      "Planned for allocations on the device: %s bytes; in %s allocations %s bytes were taken with recorded "
      "steps, and its free memory shrank by %s: the driver %s to within 2 MiB each; the ledger %s. The "
      "driver "
      "took %s before.\n",
      digits(bytes["planned_allocations_bytes"]).c_str(), digits(bytes["allocations"]).c_str(),
      digits(bytes["allocated_bytes"]).c_str(), digits(bytes["free_memory_shrank_by_bytes"]).c_str(),
      bytes["driver_agrees"].get<bool>() ? "agrees" : "DOES NOT AGREE",
      bytes["ledger_balances"].get<bool>() ? "balances" : "DOES NOT BALANCE",
      digits(bytes["driver_bytes"]).c_str());
  const auto& graphs = report["graphs"];
  const auto& stage = graphs["largest_stage"];
  std::printf(
      "Recorded: %s of %s shapes of decode steps, in %s bytes of %s planned; the first that did not fit took "
      "%s. One row through the largest stage: recorded %.2f ms, in %s bytes; kernel by kernel %.2f ms.\n",
      digits(graphs["recorded"]).c_str(), digits(graphs["wanted"]).c_str(),
      digits(bytes["graphs_bytes"]).c_str(), digits(graphs["planned_bytes"]).c_str(),
      digits(graphs["refused_bytes"]).c_str(), number(stage["recorded_ms"]), digits(stage["bytes"]).c_str(),
      number(stage["kernel_by_kernel_ms"]));
}

void print(const Json& report, const Options& options) {
  std::printf("| steps | ms | tok/s | device, ms | CPU, ms |\n|---|---|---|---|---|\n");
  for (const auto& [name, step] : report["steps"].items()) {
    std::printf("| %s | %.2f | %.1f | %.2f | %.2f |\n", name.c_str(), number(step["ms"]),
                number(step["tok_per_s"]), number(step["device_ms"]), number(step["cpu_ms"]));
  }
  std::printf(
      "\nProjections of one row alone: %.2f ms; all else of the device's step: %.2f ms. Loaded %.2f GB in "
      "%.1f s, %.1f GB/s.\n",
      number(report["projections_ms"]), number(report["rest_of_device_step_ms"]),
      number(report["load_bytes"]) / 1e9, number(report["load_s"]),
      number(report["load_bytes"]) / 1e9 / number(report["load_s"]));
  print_bytes(report);
  const auto& answer = report["answer"];
  std::printf("A prompt's logits: %s numbers are not finite; token by token %s",
              digits(answer["unusable"]).c_str(),
              answer["same_one_by_one"].get<bool>() ? "the same bits" : "OTHER BITS");
  if (answer.contains("off_from_cpu")) {
    std::printf("; %.4f of their spread away from the CPU's, the best token %s",
                number(answer["off_from_cpu"]),
                answer["same_best_as_cpu"].get<bool>() ? "the same" : "another");
  }
  std::printf(".\n\n");
  if (options.most_rest_ms > 0) {
    const auto rest_ms = number(report["rest_of_device_step_ms"]);
    print_goal("all of a decode step but projections, ms", rest_ms, options.most_rest_ms,
               rest_ms < options.most_rest_ms);
  }
  if (report.contains("split")) {
    const auto goal = [&](const char* what, const char* key, double least) {
      print_goal(what, number(report["split"][key]), least, number(report["split"][key]) >= least);
    };
    goal("one sequence, of the serial bound", "one_sequence_of_serial_bound", kShareOfSerialBound);
    goal("two sequences, of the overlap bound", "two_sequences_of_overlap_bound", kShareOfOverlapBound);
    goal("both devices at work, of the shorter one's time", "overlap_of_shorter", kOverlapOfShorter);
  }
  std::printf("\n");
}

std::string where(const Options& options) {
  if (options.layers) return std::to_string(*options.layers) + " layers on the device";
  return options.vram.empty() ? "all on the device" : "within " + options.vram;
}

Json answer_report(Subject& subject, const Options& options) {
  const auto answer = subject.answer();
  Json report{{"same_one_by_one", answer.same_one_by_one}, {"unusable", answer.unusable}};
  if (!options.against_cpu) return report;
  const auto difference = subject.difference_from_cpu();
  report["off_from_cpu"] = difference.of_spread;
  report["same_best_as_cpu"] = difference.same_best;
  return report;
}

/// What must hold wherever it runs; says what does not.
bool holds(const Json& report) {
  bool all = true;
  const auto want = [&all](bool true_enough, const char* what) {
    if (!true_enough) std::fprintf(stderr, "bench_gpu_steps: %s\n", what);
    all = all && true_enough;
  };
  // Other bits of the same weights: kernels that sum up in another order, not other numbers.
  constexpr double kFarAway = 0.5;
  const auto& answer = report["answer"];
  want(report["bytes"]["ledger_balances"].get<bool>(), "the ledger does not balance");
  want(report["bytes"]["driver_agrees"].get<bool>(), "the driver's free memory does not agree with it");
  want(answer["unusable"].get<std::uint64_t>() == 0, "some logits are no finite numbers");
  want(answer["same_one_by_one"].get<bool>(), "token by token a prompt has other logits");
  want(!answer.contains("off_from_cpu") || number(answer["off_from_cpu"]) < kFarAway,
       "the CPU has other logits");
  return all;
}

int run(const Options& options) {
  spdlog::set_level(spdlog::level::warn);
  Subject subject(options);
  const auto& properties = subject.properties();
  std::printf("### %s, %s, %s, %u multiprocessors\n\n", std::filesystem::path(options.model).stem().c_str(),
              where(options).c_str(), properties.name.c_str(), properties.multiprocessors);
  Json report{{"model", options.model},
              {"vram", options.vram},
              {"context", options.context},
              {"chunk_rows", options.chunk_rows},
              {"device", bench::to_json(properties)},
              {"stages", subject.plan().stages.size()},
              {"load_s", subject.load_s()},
              {"load_bytes", subject.load_bytes()},
              {"bytes", bytes_report(subject)},
              {"graphs",
               {{"recorded", subject.recorded_steps().count},
                {"refused_bytes", subject.recorded_steps().refused_bytes},
                {"wanted", subject.wanted_steps()},
                {"planned_bytes", subject.plan().arena_bytes(planner::gpu_of(subject.plan()).value(),
                                                             planner::Purpose::graphs)}}}};
  const auto one = subject.decode(1, 1);
  Json steps;
  steps["decode, 1 sequence"] = to_json(one, 1);
  for (std::uint32_t n = 2; n <= options.sequences; n *= 2) {
    steps["decode, " + std::to_string(n) + " sequences together"] = to_json(subject.decode(n, 1), n);
  }
  if (subject.splits() && options.sequences >= 2) {
    const auto two = subject.decode(2, engine::Pipeline::kDepth);
    steps["decode, 2 sequences one after the other"] = to_json(two, 2);
    report["split"] = split_report(one, two);
    report["trace_ms"] = {{"device", trace_of(two.on_device)}, {"cpu", trace_of(two.on_cpu)}};
  }
  const auto prefill = subject.prefill(options.context);
  steps["prefill, " + std::to_string(options.chunk_rows) + " rows"] = to_json(prefill, options.chunk_rows);
  report["steps"] = steps;
  const auto projections_s = subject.projections_s();
  report["projections_ms"] = projections_s * 1e3;
  report["rest_of_device_step_ms"] = (one.device_s - projections_s) * 1e3;
  const auto recording = subject.recording_times();
  report["graphs"]["largest_stage"] = {{"recorded_ms", recording.recorded_s * 1e3},
                                       {"kernel_by_kernel_ms", recording.kernel_by_kernel_s * 1e3},
                                       {"bytes", recording.bytes}};
  report["answer"] = answer_report(subject, options);
  print(report, options);
  write_report(options.json, report);
  return holds(report) ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) try {
  CLI::App app("Times steps of a model on a device, or on it and the CPU.");
  Options options;
  app.add_option("MODEL", options.model, "GGUF file")->required();
  app.add_option("--json", options.json, "file for all figures");
  app.add_option("--machine", options.machine, "profile to plan with");
  app.add_option("--vram", options.vram,
                 "what the plan may take of the device; without it all of the model is there");
  app.add_option("--layers", options.layers, "the first so many on the device, the rest on the CPU");
  app.add_option("--multiprocessors", options.multiprocessors, "use only so many of the GPU's; 0: all");
  app.add_option("--context", options.context, "tokens before each step");
  app.add_option("--rows", options.chunk_rows, "rows of prefill");
  app.add_option("--sequences", options.sequences, "the most that decode together")->check(CLI::Range(1, 64));
  app.add_option("--threads", options.threads, "CPU threads; 0: one for each core");
  app.add_option("--sample", options.sample_s, "seconds of a sample, at least one step");
  app.add_option("--most-rest", options.most_rest_ms,
                 "goal, in milliseconds, for all of a decode step but projections");
  app.add_flag("--against-cpu", options.against_cpu, "compare a prompt's logits with the CPU's");
  CLI11_PARSE(app, argc, argv);
  return run(options);
} catch (const std::exception& error) {
  std::fprintf(stderr, "bench_gpu_steps: %s\n", error.what());
  return 1;
}
