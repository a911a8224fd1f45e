#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/gguf.h"
#include "model/hyperparameters.h"

namespace tandem::model {

/// How sure a file is to have a tensor.
enum class Presence {
  required,
  usual,  ///< today's converters write it, older files lack it; there is a default
  rare,   ///< an untied output matrix
};

/// A tensor that a model's hyper-parameters call for (model-spec 3.3).  One with `n_dims` 1 is F32.
struct ExpectedTensor {
  std::string name;
  std::uint32_t n_dims = 1;
  std::array<std::uint64_t, 4> dims{1, 1, 1, 1};
  Presence presence = Presence::required;
};

/// All tensors of a text model, in the order files have them.  Looks at family, width, vocab and layers only.
std::vector<ExpectedTensor> tensor_inventory(const Hyperparameters& hyperparameters);

/// False for vision, audio and projector tensors ("v.", "a.", "mm."), which Tandem neither reads nor loads.
bool is_text_tensor(std::string_view name) noexcept;

/// Throws BadModel if a tensor is missing or has another shape, UnsupportedModel if a vector is not F32 or
/// the file has a text tensor that Tandem would have to ignore.
void check_inventory(const Header& header, const Hyperparameters& hyperparameters);

}  // namespace tandem::model
