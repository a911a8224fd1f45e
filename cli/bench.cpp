#include <algorithm>
#include <cstdio>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cli/child_daemon.h"
#include "cli/commands.h"
#include "cli/manual/description.h"
#include "ipc/client.h"
#include "model/error.h"
#include "planner/names.h"

namespace tandem::cli {

namespace {

struct BenchOptions {
  std::string model;
  std::uint32_t prompt_tok = 512;
  std::uint32_t generate_tok = 64;
  std::uint32_t runs = 5;
  std::uint32_t seed = 1;
  std::uint32_t threads = 0;
  std::string kv_type = "f16";
  bool json = false;
};

/// One measured quantity over the runs.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

Spread spread_of(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto n = values.size();
  const auto median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {median, values.front(), values.back()};
}

/// What the daemon says of its own times.
struct Run {
  double completion_tok = 0;  ///< fewer than asked for where the model ended its answer
  double prompt_tok_per_s = 0;
  double decode_tok_per_s = 0;
  double decode_gb_per_s = 0;
};

ipc::Json request_body(const BenchOptions& options, std::uint32_t vocab, std::uint32_t run) {
  // Another prompt in every run, so that nothing computed before can serve again.
  std::mt19937 random(options.seed + run);
  std::vector<std::uint32_t> prompt(options.prompt_tok);
  for (auto& token : prompt) token = random() % vocab;
  return {{"model", "any"},
          {"prompt", prompt},
          {"max_tokens", options.generate_tok},
          {"seed", options.seed + run}};
}

Run measure(ipc::Client& client, const BenchOptions& options, std::uint32_t vocab, std::uint32_t run) {
  const auto answer = ipc::json_of(client.post("/v1/completions", request_body(options, vocab, run).dump()));
  const auto& timings = answer.at("choices").at(0).at("timings");
  const double completion_tok = answer.at("usage").at("completion_tokens");
  if (completion_tok < 2) {
    throw Error("the model ended its answer at once: there is nothing to time", "try another --seed");
  }
  const double prompt_us = timings.at("prompt_us");
  const double decode_us = timings.at("decode_us");
  Run measured;
  measured.prompt_tok_per_s = options.prompt_tok / std::max(prompt_us, 1.0) * 1e6;
  measured.decode_tok_per_s = (completion_tok - 1) / std::max(decode_us, 1.0) * 1e6;
  measured.completion_tok = completion_tok;
  measured.decode_gb_per_s = timings.value("decode_gb_per_s", 0.0);
  return measured;
}

ChildDaemon start(const BenchOptions& options) {
  return ChildDaemon({"--model", options.model, "--sequences", "1", "--kv-type", options.kv_type, "--context",
                      std::to_string(options.prompt_tok + options.generate_tok), "--threads",
                      std::to_string(options.threads)});
}

void print(const BenchOptions& options, const std::vector<std::pair<const char*, Spread>>& rows) {
  if (options.json) {
    ipc::OrderedJson out{{"model", options.model},           {"prompt_tok", options.prompt_tok},
                         {"most_tok", options.generate_tok}, {"runs", options.runs},
                         {"threads", options.threads},       {"kv_type", options.kv_type}};
    for (const auto& [name, spread] : rows) {
      out[name] = {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
    }
    std::cout << ipc::to_text(out) << "\n";
    return;
  }
  std::printf("%s: %u prompt tokens, at most %u generated, %u runs after one to warm up\n",
              options.model.c_str(), options.prompt_tok, options.generate_tok, options.runs);
  std::printf("%-20s %10s %10s %10s\n", "", "median", "min", "max");
  for (const auto& [name, spread] : rows) {
    std::printf("%-20s %10.2f %10.2f %10.2f\n", name, spread.median, spread.min, spread.max);
  }
}

int bench(const BenchOptions& options) {
  const ChildDaemon daemon = start(options);
  ipc::Client client(daemon.socket());
  const std::uint32_t vocab = ipc::json_of(client.get("/v1/models")).at("data").at(0).at("vocab_size");
  measure(client, options, vocab, options.runs);
  std::vector<double> prompt;
  std::vector<double> decode;
  std::vector<double> bandwidth;
  std::vector<double> generated;
  for (std::uint32_t run = 0; run < options.runs; ++run) {
    const auto measured = measure(client, options, vocab, run);
    prompt.push_back(measured.prompt_tok_per_s);
    decode.push_back(measured.decode_tok_per_s);
    bandwidth.push_back(measured.decode_gb_per_s);
    generated.push_back(measured.completion_tok);
  }
  print(options, {{"prompt_tok_per_s", spread_of(prompt)},
                  {"decode_tok_per_s", spread_of(decode)},
                  {"decode_gb_per_s", spread_of(bandwidth)},
                  {"generated_tok", spread_of(generated)}});
  return kOk;
}

}  // namespace

Command bench_command(CLI::App& parent) {
  const auto options = std::make_shared<BenchOptions>();
  auto* const app =
      parent.add_subcommand("bench", "Measure prompt and decode speed of MODEL in a daemon of its own");
  app->add_option("MODEL", options->model, "GGUF file")->type_name("FILE")->required();
  app->add_option("--prompt", options->prompt_tok, "prompt tokens")
      ->type_name("COUNT")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1U << 20U));
  app->add_option("--generate", options->generate_tok, "tokens to generate")
      ->type_name("COUNT")
      ->capture_default_str()
      ->check(CLI::Range(2U, 1U << 20U));
  app->add_option("--runs", options->runs, "measured runs, after one to warm up")
      ->type_name("COUNT")
      ->capture_default_str()
      ->check(CLI::Range(1U, 1000U));
  app->add_option("--seed", options->seed, "of the prompts and of sampling")
      ->type_name("INTEGER")
      ->capture_default_str();
  app->add_option("--threads", options->threads, "CPU threads; 0: one for each physical core")
      ->type_name("COUNT")
      ->capture_default_str();
  app->add_option("--kv-type", options->kv_type, "element type of KV")
      ->type_name(manual::choice_of(planner::kKvTypeNames))
      ->capture_default_str();
  app->add_flag("--json", options->json, "print JSON");
  return {app, [options] { return bench(*options); }};
}

}  // namespace tandem::cli
