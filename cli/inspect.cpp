#include <algorithm>
#include <iomanip>
#include <iostream>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "model/catalogue.h"
#include "model/hyperparameters.h"
#include "model/ordered_json.h"
#include "planner/model_input.h"
#include "planner/printable.h"
#include "planner/size_text.h"

namespace tandem::cli {
namespace {

using Json = OrderedJson;
using planner::grouped;

/// How many of an array's elements are shown.
constexpr std::size_t kShownElements = 8;

struct InspectOptions {
  std::string model;
  bool json = false;
};

/// What there is to see of one model.
struct Subject {
  model::Header header;
  model::Hyperparameters hyper;
  planner::ModelInput input;
};

template <typename T>
Json first_elements(const std::vector<T>& all) {
  auto shown = Json::array();
  for (std::size_t i = 0; i < std::min(all.size(), kShownElements); ++i) shown.push_back(T(all[i]));
  return shown;
}

Json first_elements(const model::MetaArray& array) {
  if (const auto integers = array.integers()) return first_elements(*integers);
  if (const auto numbers = array.numbers()) return first_elements(*numbers);
  if (const auto booleans = array.booleans()) return first_elements(*booleans);
  if (const auto strings = array.strings()) return first_elements(*strings);
  return Json::array();
}

Json value_json(const model::MetaValue& value) {
  struct ToJson {
    Json operator()(const model::MetaArray& array) const {
      return {{"type", meta_type_name(array.element())},
              {"count", array.size()},
              {"first", first_elements(array)}};
    }
    Json operator()(std::string_view text) const { return text; }
    Json operator()(std::uint64_t number) const { return number; }
    Json operator()(std::int64_t number) const { return number; }
    Json operator()(double number) const { return number; }
    Json operator()(bool truth) const { return truth; }
  };
  return std::visit(ToJson{}, value);
}

/// File text may hold anything; invalid UTF-8 is replaced, never thrown on.
std::string dump(const Json& json, int indent = -1) {
  return json.dump(indent, ' ', false, Json::error_handler_t::replace);
}

Json layer_json(const Subject& subject, std::size_t i) {
  const auto& layer = subject.hyper.layers[i];
  return {{"index", i},
          {"kind", layer.kind == model::LayerKind::sliding ? "sliding" : "global"},
          {"heads", layer.heads},
          {"kv_heads", layer.kv_heads},
          {"head_dim", layer.head_dim},
          {"window", layer.window},
          {"ffn_width", layer.ffn_width},
          {"has_v", layer.has_v},
          {"attention_bytes", subject.input.layers[i].attention.bytes},
          {"ffn_bytes", subject.input.layers[i].ffn.bytes}};
}

Json tensor_json(const model::TensorInfo& tensor) {
  auto dims = Json::array();
  for (std::uint32_t i = 0; i < tensor.n_dims; ++i) dims.push_back(tensor.dims[i]);
  return {{"name", tensor.name},
          {"type", model::tensor_type_info(tensor.type).name},
          {"dims", std::move(dims)},
          {"part", tensor.part},
          {"offset_bytes", tensor.offset_bytes},
          {"size_bytes", tensor.size_bytes}};
}

Json inspect_json(const Subject& subject) {
  const auto& hyper = subject.hyper;
  Json json{{"name", subject.header.name},
            {"model", hyper.name},
            {"family", subject.input.facts.family},
            {"width", hyper.width},
            {"vocab", hyper.vocab},
            {"context_length", hyper.context_length},
            {"final_softcap", hyper.final_softcap},
            {"tensor_bytes", subject.header.tensor_bytes},
            {"missing_bytes", subject.header.missing_bytes},
            {"warnings", hyper.warnings}};
  json["metadata"] = Json::object();
  for (const auto& [key, entry] : subject.header.metadata)
    json["metadata"][std::string(key)] = value_json(entry.value);
  json["layers"] = Json::array();
  for (std::size_t i = 0; i < hyper.layers.size(); ++i) json["layers"].push_back(layer_json(subject, i));
  json["tensors"] = Json::array();
  for (const auto& tensor : subject.header.tensors) json["tensors"].push_back(tensor_json(tensor));
  return json;
}

/// The value on one line of at most `columns` characters.
std::string value_text(const model::MetaValue& value, std::size_t columns) {
  auto text = planner::printable(dump(value_json(value)));
  if (const auto* array = std::get_if<model::MetaArray>(&value)) {
    text = grouped(array->size()) + " x " + std::string(meta_type_name(array->element())) + " " +
           planner::printable(dump(first_elements(*array)));
  }
  if (text.size() > columns) text = text.substr(0, columns - 3) + "...";
  return planner::printable(text);
}

void print_metadata(std::ostream& out, const model::Header& header) {
  constexpr std::size_t kKeyColumns = 42;
  constexpr std::size_t kValueColumns = 80 - kKeyColumns - 3;
  out << "\nmetadata\n";
  for (const auto& [key, entry] : header.metadata) {
    out << "  " << std::left << std::setw(kKeyColumns) << planner::printable(key) << " "
        << value_text(entry.value, kValueColumns) << "\n";
  }
}

/// Layers of one shape, as "0-4 6-10".
struct LayerGroup {
  model::LayerSpec spec;
  std::string indices;
  std::size_t count = 0;
};

/// Layers grouped by what they are, in order of first appearance.
std::vector<LayerGroup> layer_groups(const model::Hyperparameters& hyper) {
  std::vector<LayerGroup> groups;
  const auto& layers = hyper.layers;
  for (std::size_t first = 0; first < layers.size();) {
    auto last = first;
    while (last + 1 < layers.size() && layers[last + 1] == layers[first]) ++last;
    auto group = std::ranges::find(groups, layers[first], &LayerGroup::spec);
    if (group == groups.end()) group = groups.insert(groups.end(), LayerGroup{layers[first], {}, 0});
    group->indices += (group->indices.empty() ? "" : " ") + std::to_string(first);
    if (last > first) group->indices += "-" + std::to_string(last);
    group->count += last - first + 1;
    first = last + 1;
  }
  return groups;
}

void print_layers(std::ostream& out, const Subject& subject) {
  out << "\nlayers\n";
  for (const auto& [spec, indices, count] : layer_groups(subject.hyper)) {
    const bool slides = spec.kind == model::LayerKind::sliding;
    out << "  " << count << (slides ? " sliding" : " global") << ": " << spec.heads << " heads, "
        << spec.kv_heads << (spec.kv_heads == 1 ? " KV head of " : " KV heads of ") << spec.head_dim
        << (spec.has_v ? "" : " without V projection");
    if (slides) out << ", window " << grouped(spec.window);
    out << ", FFN " << grouped(spec.ffn_width) << "\n    " << indices << "\n";
  }
}

void print_tensors(std::ostream& out, const model::Header& header) {
  struct Sum {
    std::uint64_t tensors = 0;
    std::uint64_t bytes = 0;
  };
  std::map<std::string_view, Sum> sums;
  for (const auto& tensor : header.tensors) {
    auto& sum = sums[model::tensor_type_info(tensor.type).name];
    sum.tensors += 1;
    sum.bytes += tensor.size_bytes;
  }
  out << "\ntensors\n";
  for (const auto& [type, sum] : sums) {
    out << "  " << std::left << std::setw(8) << type << std::right << std::setw(6) << sum.tensors
        << std::setw(20) << grouped(sum.bytes) << " bytes\n";
  }
  out << "  " << std::left << std::setw(8) << "all" << std::right << std::setw(6) << header.tensors.size()
      << std::setw(20) << grouped(header.tensor_bytes) << " bytes\n";
  if (header.missing_bytes > 0)
    out << "  missing from the file: " << grouped(header.missing_bytes) << " bytes\n";
}

std::string inspect_text(const Subject& subject) {
  const auto& hyper = subject.hyper;
  std::ostringstream out;
  out << "file       " << planner::printable(subject.header.name) << "\n"
      << "model      " << planner::printable(hyper.name) << ", " << subject.input.facts.family << ", "
      << hyper.layers.size() << " layers\n"
      << "width      " << grouped(hyper.width) << ", vocabulary " << grouped(hyper.vocab)
      << ", trained context " << grouped(hyper.context_length) << "\n";
  for (const auto& warning : hyper.warnings) out << "warning    " << planner::printable(warning) << "\n";
  print_layers(out, subject);
  print_tensors(out, subject.header);
  print_metadata(out, subject.header);
  return out.str();
}

int run_inspect(const InspectOptions& options) {
  Subject subject;
  subject.header = model::open_model(options.model);
  subject.hyper = model::read_hyperparameters(subject.header);
  subject.input = planner::model_input(subject.header, subject.hyper);
  std::cout << (options.json ? dump(inspect_json(subject), 2) + "\n" : inspect_text(subject));
  return kOk;
}

}  // namespace

Command inspect_command(CLI::App& parent) {
  auto* app = parent.add_subcommand("inspect", "Show a model's metadata, layers and tensors");
  const auto options = std::make_shared<InspectOptions>();
  app->add_option("MODEL", options->model,
                  "GGUF file, first part of a split, header alone, or catalogue:NAME")
      ->type_name("FILE|catalogue:NAME")
      ->required();
  app->add_flag("--json", options->json, "print JSON");
  return {app, [options] { return run_inspect(*options); }};
}

}  // namespace tandem::cli
