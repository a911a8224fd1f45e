#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "cli/child_daemon.h"
#include "cli/child_task.h"
#include "cli/commands.h"
#include "ipc/client.h"
#include "model/error.h"
#include "planner/size_text.h"

namespace tandem::cli {

namespace {

struct BenchOptions {
  std::string model;
  std::vector<std::uint32_t> prompts_tok{512};
  std::uint32_t generate_tok = 64;
  std::uint32_t runs = 5;
  std::uint32_t seed = 1;
  std::uint32_t threads = 0;
  StorageOptions storage;
  bool json = false;
};

/// How fast the machine's memory can be read.
struct Memory {
  std::uint32_t threads = 0;  ///< as many as read
  std::uint32_t cores = 0;    ///< that they have
  double gb_per_s = 0;
};

/// What the daemon says of its own times.
struct Run {
  double prompt_us = 0;  ///< until the first token
  double decode_us = 0;
  double generated_tok = 0;  ///< fewer than asked for where the model ended its answer
  double decode_gb_per_s = 0;
};

/// All runs with prompts of one length.
struct Result {
  std::uint32_t prompt_tok = 0;
  std::vector<Run> runs;
};

struct Measured {
  Memory memory;
  double load_s = 0;
  std::uint64_t resident_bytes = 0;
  std::vector<Result> results;
};

/// One quantity over the runs.
struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

template <class Quantity>
Spread spread_of(const std::vector<Run>& runs, Quantity&& quantity) {
  std::vector<double> values;
  for (const auto& run : runs) values.push_back(quantity(run));
  std::sort(values.begin(), values.end());
  const auto n = values.size();
  const auto median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  return {median, values.front(), values.back()};
}

using Quantities = std::vector<std::pair<const char*, Spread>>;

/// What is said of one length of prompt, under the names it has in JSON.
Quantities quantities_of(const Result& result, const Memory& memory) {
  const auto spread = [&](auto&& quantity) { return spread_of(result.runs, quantity); };
  const auto prompt_rate = [&](const Run& run) {
    return result.prompt_tok / std::max(run.prompt_us, 1.0) * 1e6;
  };
  const auto decode_rate = [](const Run& run) {
    return (run.generated_tok - 1) / std::max(run.decode_us, 1.0) * 1e6;
  };
  return {{"prompt_tok_per_s", spread(prompt_rate)},
          {"first_token_ms", spread([](const Run& run) { return run.prompt_us / 1e3; })},
          {"decode_tok_per_s", spread(decode_rate)},
          {"decode_gb_per_s", spread([](const Run& run) { return run.decode_gb_per_s; })},
          {"decode_share_of_memory",
           spread([&](const Run& run) { return run.decode_gb_per_s / memory.gb_per_s; })},
          {"generated_tok", spread([](const Run& run) { return run.generated_tok; })}};
}

Memory measure_memory(const BenchOptions& options) {
  const auto speed = ipc::Json::parse(
      run_tandemd({"--calibrate", "--memory", "--threads", std::to_string(options.threads)}));
  return {speed.at("threads"), speed.at("cores"), speed.at("gb_per_s")};
}

ipc::Json request_body(const BenchOptions& options, std::uint32_t prompt_tok, std::uint32_t vocab,
                       std::uint32_t run) {
  // Another prompt in every run, so that nothing computed before can serve again.
  std::mt19937 random(options.seed + run);
  std::vector<std::uint32_t> prompt(prompt_tok);
  for (auto& token : prompt) token = random() % vocab;
  return {{"model", "any"},
          {"prompt", prompt},
          {"max_tokens", options.generate_tok},
          {"seed", options.seed + run}};
}

Run measure(ipc::Client& client, const ipc::Json& body) {
  const auto answer = ipc::json_of(client.post("/v1/completions", body.dump()));
  const auto& timings = answer.at("choices").at(0).at("timings");
  const double generated_tok = answer.at("usage").at("completion_tokens");
  if (generated_tok < 2) {
    throw Error("the model ended its answer at once: there is nothing to time", "try another --seed");
  }
  return {timings.at("prompt_us"), timings.at("decode_us"), generated_tok,
          timings.value("decode_gb_per_s", 0.0)};
}

std::vector<Result> measure_all(const BenchOptions& options, ipc::Client& client) {
  const std::uint32_t vocab = ipc::json_of(client.get("/v1/models")).at("data").at(0).at("vocab_size");
  const auto run = [&](std::uint32_t prompt_tok, std::uint32_t number) {
    return measure(client, request_body(options, prompt_tok, vocab, number));
  };
  run(*std::min_element(options.prompts_tok.begin(), options.prompts_tok.end()), options.runs);  // warms up
  std::vector<Result> results;
  for (const auto prompt_tok : options.prompts_tok) {
    results.push_back({prompt_tok, {}});
    for (std::uint32_t i = 0; i < options.runs; ++i) results.back().runs.push_back(run(prompt_tok, i));
  }
  return results;
}

Measured measure_daemon(const BenchOptions& options) {
  const auto longest = *std::max_element(options.prompts_tok.begin(), options.prompts_tok.end());
  const auto start = std::chrono::steady_clock::now();
  const ChildDaemon daemon({"--model", options.model, "--sequences", "1", "--kv-type",
                            options.storage.kv_type, "--cpu-weights", options.storage.cpu_weights,
                            "--context", std::to_string(longest + options.generate_tok), "--threads",
                            std::to_string(options.threads)});
  Measured measured;
  measured.load_s = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  ipc::Client client(daemon.socket());
  measured.results = measure_all(options, client);
  measured.resident_bytes = daemon.resident_bytes();
  return measured;
}

/// The memory's speed wanders where others use the machine: before and after, and the better one counts.
Measured measure_model(const BenchOptions& options) {
  const auto before = measure_memory(options);
  auto measured = measure_daemon(options);
  const auto after = measure_memory(options);
  measured.memory = before.gb_per_s > after.gb_per_s ? before : after;
  return measured;
}

void print_json(const BenchOptions& options, const Measured& measured) {
  auto results = ipc::OrderedJson::array();
  for (const auto& result : measured.results) {
    ipc::OrderedJson quantities{{"prompt_tok", result.prompt_tok}};
    for (const auto& [name, spread] : quantities_of(result, measured.memory)) {
      quantities[name] = {{"median", spread.median}, {"min", spread.min}, {"max", spread.max}};
    }
    results.push_back(std::move(quantities));
  }
  const ipc::OrderedJson out{{"model", options.model},
                             {"threads", measured.memory.threads},
                             {"cores", measured.memory.cores},
                             {"kv_type", options.storage.kv_type},
                             {"runs", options.runs},
                             {"most_tok", options.generate_tok},
                             {"memory_gb_per_s", measured.memory.gb_per_s},
                             {"load_s", measured.load_s},
                             {"resident_bytes", measured.resident_bytes},
                             {"results", std::move(results)}};
  std::cout << ipc::to_text(out) << "\n";
}

/// "4 threads"; where they are too many, also how many cores they share.
std::string threads_text(const Memory& memory) {
  auto text = std::to_string(memory.threads) + " threads";
  if (memory.threads > memory.cores)
    text += " on " + std::to_string(memory.cores) + " cores, which is slower";
  return text;
}

void print_text(const BenchOptions& options, const Measured& measured) {
  std::printf("%s: %s, KV in %s; loaded in %.2f s, %s resident\n", options.model.c_str(),
              threads_text(measured.memory).c_str(), options.storage.kv_type.c_str(), measured.load_s,
              planner::short_size(measured.resident_bytes).c_str());
  std::printf("memory is read at %.1f GB/s; at most %u tokens generated, %u runs after one to warm up\n",
              measured.memory.gb_per_s, options.generate_tok, options.runs);
  for (const auto& result : measured.results) {
    std::printf("\n%-24s %10s %10s %10s\n", (std::to_string(result.prompt_tok) + " prompt tokens").c_str(),
                "median", "min", "max");
    for (const auto& [name, spread] : quantities_of(result, measured.memory)) {
      std::printf("%-24s %10.2f %10.2f %10.2f\n", name, spread.median, spread.min, spread.max);
    }
  }
}

int bench(const BenchOptions& options) {
  const auto measured = measure_model(options);
  options.json ? print_json(options, measured) : print_text(options, measured);
  return kOk;
}

}  // namespace

Command bench_command(CLI::App& parent) {
  const auto options = std::make_shared<BenchOptions>();
  auto* const app =
      parent.add_subcommand("bench", "Measure prompt and decode speed of MODEL in a daemon of its own");
  app->add_option("MODEL", options->model, "GGUF file")->type_name("FILE")->required();
  app->add_option("--prompt", options->prompts_tok,
                  "prompt tokens, several lengths with commas between; decoding is measured after each")
      ->type_name("COUNT,...")
      ->delimiter(',')
      ->allow_extra_args(false)
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
  app->add_option("--seed", options->seed, "seed of the prompts and of sampling")
      ->type_name("INTEGER")
      ->capture_default_str();
  app->add_option("--threads", options->threads,
                  "CPU threads; 0: one for each physical core; more share the cores, which is slower")
      ->type_name("COUNT")
      ->capture_default_str();
  add_storage_options(*app, options->storage);
  app->add_flag("--json", options->json, "print JSON");
  return {app, [options] { return bench(*options); }};
}

}  // namespace tandem::cli
