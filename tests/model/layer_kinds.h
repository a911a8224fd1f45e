#pragma once

#include <string>

#include "model/hyperparameters.h"

namespace tandem::model {

/// A letter for each layer: L for sliding (local) attention, G for global attention.
inline std::string layer_kinds(const Hyperparameters& model) {
  std::string text;
  for (const auto& layer : model.layers) text += layer.kind == LayerKind::sliding ? 'L' : 'G';
  return text;
}

}  // namespace tandem::model
