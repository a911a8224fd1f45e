#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/shape.h"

namespace tandem::model {

/// What stands before a catalogue name where a model is asked for.
inline constexpr std::string_view kCataloguePrefix = "catalogue:";

/// A published model: its shape, and the types its matrices are stored in (config/catalogue.json).
struct CatalogueEntry {
  Shape shape;
  QuantRecipe recipe;
};

/// All names, SHAPE-RECIPE as in "gemma4-12b-qat-q4_0".
std::vector<std::string> catalogue_names();

/// Throws Error for an unknown name, with the nearest one and the list of all as its hint.
CatalogueEntry catalogue_entry(std::string_view name);

/// The header that a file of this model has, without tokenizer.  All its tensor data is missing.
Header catalogue_header(std::string_view name);

/// The header of what a user calls a model: a file, the first part of a split one, or "catalogue:NAME".
Header open_model(const std::string& model);

}  // namespace tandem::model
