#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

#include "cli/child_daemon.h"
#include "cli/commands.h"
#include "cli/daemon.h"
#include "ipc/client.h"
#include "model/error.h"
#include "model/text_file.h"

namespace tandem::cli {

namespace {

struct PerplexityOptions {
  std::string model;
  std::string text;
  std::uint32_t context_tok = 512;
  StorageOptions storage;
  bool json = false;
};

/// Sums over all tokens that were predicted.
struct Score {
  double nats = 0;
  std::uint64_t tokens = 0;
};

std::string read_text(const std::string& path) {
  auto text = model::read_text_file(path);
  if (text.empty()) throw Error(path + ": is empty");
  return text;
}

/// Ids of `text`, and of the empty text: what the model puts before every text.
std::vector<std::int32_t> tokenize(ipc::Client& client, const std::string& text) {
  const ipc::Json body{{"prompt", text}, {"add_special_tokens", true}, {"parse_special_tokens", true}};
  return ipc::json_of(client.post("/v1/tokenize", to_body(body)))
      .at("tokens")
      .get<std::vector<std::int32_t>>();
}

/// The prompt's log-probabilities; the first `given` tokens are not scored.
void add_window(ipc::Client& client, const std::vector<std::int32_t>& window, std::size_t given,
                Score& score) {
  const ipc::Json body{
      {"model", "any"}, {"prompt", window}, {"max_tokens", 0}, {"echo", true}, {"logprobs", 0}};
  const auto answer = ipc::json_of(client.post("/v1/completions", body.dump()));
  const auto& logprobs = answer.at("choices").at(0).at("logprobs").at("token_logprobs");
  for (std::size_t i = std::max<std::size_t>(given, 1); i < logprobs.size(); ++i) {
    score.nats -= logprobs.at(i).get<double>();
    ++score.tokens;
  }
}

/// Windows of `context_tok` tokens, each begun with what the model puts before a text; no token is scored
/// twice.
Score score_text(ipc::Client& client, const std::string& text, std::uint32_t context_tok) {
  const auto opening = tokenize(client, "");
  const auto tokens = tokenize(client, text);
  const auto room = context_tok - opening.size();
  Score score;
  for (std::size_t at = opening.size(); at < tokens.size(); at += room) {
    auto window = opening;
    const auto end = std::min(at + room, tokens.size());
    window.insert(window.end(), tokens.begin() + static_cast<std::ptrdiff_t>(at),
                  tokens.begin() + static_cast<std::ptrdiff_t>(end));
    add_window(client, window, opening.size(), score);
    std::fprintf(stderr, "\r%zu of %zu tokens", end, tokens.size());
  }
  std::fprintf(stderr, "\n");
  return score;
}

int perplexity(const PerplexityOptions& options) {
  const auto text = read_text(options.text);
  const ChildDaemon daemon({"--model", options.model, "--sequences", "1", "--kv-type",
                            options.storage.kv_type, "--cpu-weights", options.storage.cpu_weights,
                            "--context", std::to_string(options.context_tok)});
  ipc::Client client(daemon.socket());
  const auto score = score_text(client, text, options.context_tok);
  if (score.tokens == 0) throw Error(options.text + ": too short to predict anything");
  const double bits = score.nats / std::log(2.0);
  const double bits_per_byte = bits / static_cast<double>(text.size());
  const double bits_per_token = bits / static_cast<double>(score.tokens);
  if (options.json) {
    const ipc::OrderedJson out{{"model", options.model},
                               {"text", options.text},
                               {"text_bytes", text.size()},
                               {"context_tok", options.context_tok},
                               {"kv_type", options.storage.kv_type},
                               {"scored_tok", score.tokens},
                               {"bits_per_byte", bits_per_byte},
                               {"bits_per_token", bits_per_token},
                               {"perplexity", std::exp2(bits_per_token)}};
    std::cout << ipc::to_text(out) << "\n";
    return kOk;
  }
  std::printf(
      "%.4f bits a byte, %.4f bits a token, perplexity %.3f (%llu tokens, %zu bytes, windows of %u tokens)\n",
      bits_per_byte, bits_per_token, std::exp2(bits_per_token), static_cast<unsigned long long>(score.tokens),
      text.size(), options.context_tok);
  return kOk;
}

}  // namespace

Command perplexity_command(CLI::App& parent) {
  const auto options = std::make_shared<PerplexityOptions>();
  auto* const app = parent.add_subcommand("perplexity", "Measure how well a model predicts a text");
  app->add_option("--model", options->model, "GGUF file")->type_name("FILE")->required();
  app->add_option("--text", options->text, "text file, UTF-8")->type_name("FILE")->required();
  app->add_option("--context", options->context_tok, "tokens of a window")
      ->type_name("TOKENS")
      ->capture_default_str()
      ->check(CLI::Range(8U, 1U << 20U));
  add_storage_options(*app, options->storage);
  app->add_flag("--json", options->json, "print JSON");
  return {app, [options] { return perplexity(*options); }};
}

}  // namespace tandem::cli
