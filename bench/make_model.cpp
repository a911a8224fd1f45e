#include <chrono>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <thread>

#include <CLI/CLI.hpp>

#include "bench/model_writer.h"
#include "model/catalogue.h"
#include "model/error.h"
#include "model/nearest.h"

namespace {

using namespace tandem;

struct Options {
  std::string output;
  std::string model;
  std::string shape_file;
  std::string type;
  std::vector<std::string> overrides;
  std::uint32_t layers = 0;
  std::uint32_t vocab = 0;
  std::uint64_t seed = 0;
  unsigned threads = std::max(1U, std::thread::hardware_concurrency());
  bool header_only = false;
  bool no_vocabulary = false;
};

model::TensorType read_type(const std::string& name) {
  if (const auto type = model::tensor_type_from_name(name)) return *type;
  std::string all;
  for (const auto& info : model::tensor_types()) all += (all.empty() ? "" : ", ") + std::string(info.name);
  throw Error("unknown tensor type " + name, "there are: " + all);
}

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Error(path + ": cannot open");
  return {std::istreambuf_iterator<char>(file), {}};
}

bench::RandomModel read_model(const Options& options) {
  bench::RandomModel random_model;
  if (options.shape_file.empty()) {
    auto entry = model::catalogue_entry(options.model);
    random_model.shape = std::move(entry.shape);
    random_model.recipe = std::move(entry.recipe);
  } else {
    random_model.shape = model::shape_from_json(read_text(options.shape_file), options.shape_file);
    random_model.recipe = model::QuantRecipe::uniform(model::TensorType::q8_0);
  }
  if (!options.type.empty()) random_model.recipe = model::QuantRecipe::uniform(read_type(options.type));
  for (const auto& text : options.overrides) {
    const auto equals = text.find('=');
    if (equals == std::string::npos) throw Error("--override " + text + ": expected STEM=TYPE");
    random_model.recipe.overrides.emplace_back(text.substr(0, equals), read_type(text.substr(equals + 1)));
  }
  if (options.layers != 0) random_model.shape.layers = options.layers;
  if (options.vocab != 0) random_model.shape.vocab = options.vocab;
  if (options.no_vocabulary) random_model.vocabulary = bench::VocabularyKind::none;
  random_model.seed = options.seed;
  return random_model;
}

void define_options(CLI::App& app, Options& options) {
  app.add_option("output", options.output, "File to write")->required();
  auto* source = app.add_option_group("source");
  source->add_option("--model", options.model, "Catalogue name, e.g. gemma4-12b-qat-q4_0");
  source->add_option("--shape", options.shape_file,
                     "JSON file with a shape, fields as in config/catalogue.json");
  source->require_option(1);
  app.add_option("--type", options.type, "Type of every matrix, e.g. Q4_K (a --shape without it: Q8_0)");
  app.add_option("--override", options.overrides,
                 "STEM=TYPE for some tensors, e.g. ffn_down=Q6_K; repeatable");
  app.add_option("--layers", options.layers, "Number of layers instead of the shape's")
      ->check(CLI::Range(1, 1024));
  app.add_option("--vocab", options.vocab, "Number of tokens instead of the shape's")
      ->check(CLI::Range(2, 450'000));
  app.add_option("--seed", options.seed, "Another seed gives other weights");
  app.add_option("--threads", options.threads, "Writing threads")->check(CLI::Range(1, 256));
  app.add_flag("--header-only", options.header_only, "No tensor data: enough for a plan");
  app.add_flag("--no-vocabulary", options.no_vocabulary, "No tokenizer keys");
}

void make(const Options& options) {
  const auto start = std::chrono::steady_clock::now();
  const auto random_model = read_model(options);
  if (options.header_only) {
    bench::write_header_file(options.output, random_model);
  } else {
    bench::write_model_file(options.output, random_model, options.threads);
  }
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  std::printf("%s: %llu bytes in %.1f s\n", options.output.c_str(),
              static_cast<unsigned long long>(std::filesystem::file_size(options.output)), elapsed.count());
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Writes GGUF files of Gemma 3 and 4 models with random weights, for tests and benchmarks."};
  Options options;
  define_options(app, options);
  CLI11_PARSE(app, argc, argv);
  try {
    make(options);
  } catch (const Error& error) {
    std::cerr << "tandem-make-model: " << error.what() << '\n';
    if (!error.hint().empty()) std::cerr << error.hint() << '\n';
    return 1;
  } catch (const std::exception& error) {
    std::cerr << "tandem-make-model: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
