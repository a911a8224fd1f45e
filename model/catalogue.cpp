#include "model/catalogue.h"

#include <algorithm>
#include <memory>

#include <nlohmann/json.hpp>

#include "embedded/catalogue.h"
#include "model/error.h"
#include "model/nearest.h"

namespace tandem::model {
namespace {

using nlohmann::json;

const json& catalogue() {
  static const json parsed = json::parse(embedded::catalogue);
  return parsed;
}

TensorType type_named(const json& name) {
  const auto type = tensor_type_from_name(name.get<std::string>());
  if (!type) throw Error("config/catalogue.json: unknown tensor type " + name.dump());
  return *type;
}

QuantRecipe read_recipe(const json& object, const std::string& family) {
  QuantRecipe recipe;
  recipe.file_type = object.at("file_type");
  recipe.matrices = type_named(object.at("matrices"));
  recipe.boosted = type_named(object.at("boosted"));
  recipe.embedding = type_named(object.at("embedding").at(family));
  return recipe;
}

std::string entry_name(std::string name, const std::string& recipe) {
  return name.append("-").append(recipe);
}

[[noreturn]] void refuse_name(std::string_view name) {
  const auto names = catalogue_names();
  std::string all;
  for (const auto& known : names) all.append(all.empty() ? "" : ", ").append(known);
  throw Error("no model in the catalogue is called " + std::string(name),
              "did you mean " + std::string(nearest(name, names)) + "?  There are: " + all);
}

}  // namespace

std::vector<std::string> catalogue_names() {
  std::vector<std::string> names;
  for (const auto& [shape, shape_object] : catalogue().at("shapes").items()) {
    for (const auto& [recipe, recipe_object] : catalogue().at("recipes").items()) {
      names.push_back(entry_name(shape, recipe));
    }
  }
  return names;
}

CatalogueEntry catalogue_entry(std::string_view name) {
  for (const auto& [shape, shape_object] : catalogue().at("shapes").items()) {
    for (const auto& [recipe, recipe_object] : catalogue().at("recipes").items()) {
      if (name != entry_name(shape, recipe)) continue;
      return {shape_from_json(shape_object.dump(), "config/catalogue.json"),
              read_recipe(recipe_object, shape_object.at("family"))};
    }
  }
  refuse_name(name);
}

Header catalogue_header(std::string_view name) {
  const auto entry = catalogue_entry(name);
  GgufWriter writer;
  write_model(writer, entry.shape, entry.recipe);
  const auto bytes = std::make_shared<const std::string>(writer.header());
  return parse_header(std::string(kCataloguePrefix) + std::string(name), std::as_bytes(std::span(*bytes)),
                      bytes);
}

Header open_model(const std::string& model) {
  if (model.starts_with(kCataloguePrefix)) return catalogue_header(model.substr(kCataloguePrefix.size()));
  try {
    return read_header(model);
  } catch (const UnreadableFile& error) {
    const auto names = catalogue_names();
    if (std::find(names.begin(), names.end(), model) == names.end()) throw;
    throw UnreadableFile(error.what(), std::string(kCataloguePrefix) + model + " needs no file");
  }
}

}  // namespace tandem::model
