#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "model/shape.h"

namespace tandem::bench {

enum class VocabularyKind {
  none,       ///< no tokenizer.* keys: the model can be planned and computed with, not talked to
  synthetic,  ///< as many made-up tokens as the shape has rows
};

/// A model to be made up.  The same numbers give the same file, byte for byte.
struct RandomModel {
  model::Shape shape;
  model::QuantRecipe recipe;
  VocabularyKind vocabulary = VocabularyKind::synthetic;
  std::uint64_t seed = 0;
};

/// The file's bytes up to where tensor data starts.  Throws Error where shape or recipe make no model.
std::string make_header(const RandomModel& random_model);

/// Writes the header alone: a file that can be planned.
void write_header_file(const std::filesystem::path& path, const RandomModel& random_model);

/// Writes the whole file with weights that keep activations and logits in a sane range, on `threads` threads.
/// The file appears under its name when it is complete.  Throws Error with path and reason.
void write_model_file(const std::filesystem::path& path, const RandomModel& random_model, unsigned threads);

}  // namespace tandem::bench
