#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"

namespace tandem::model {

/// What one GGUF file says: a whole model, or one part of a split one.
struct GgufPart {
  std::map<std::string_view, MetaEntry, std::less<>> metadata;
  std::vector<TensorInfo> tensors;  ///< in file order, `part` left 0
};

/// Reads one file's header from `bytes` and checks every limit of model-spec 4.1 that concerns one file.
/// Views point into `bytes`.  Throws BadModel and UnsupportedModel.
GgufPart parse_gguf_part(const std::string& file, std::span<const std::byte> bytes);

}  // namespace tandem::model
