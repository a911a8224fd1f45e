#include "tests/backends/float_model.h"

#include <cstddef>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "backends/cpu/dequantise.h"

namespace tandem::test_support {

model::Header in_floats(const model::Header& header) {
  auto floats = std::make_shared<std::vector<float>>();
  auto result = header;
  result.tensor_bytes = 0;
  for (auto& tensor : result.tensors) {
    const auto bytes = header.data(tensor);
    const auto first = floats->size();
    const auto type = static_cast<device::BlockType>(tensor.type);
    floats->resize(first + tensor.elems());
    for (std::size_t row = 0; row < tensor.elems() / tensor.dims[0]; ++row) {
      const auto elems = static_cast<std::uint32_t>(tensor.dims[0]);
      cpu::dequantise(type, bytes.data() + row * cpu::row_bytes(type, elems), elems,
                      floats->data() + first + row * elems);
    }
    tensor.type = model::TensorType::f32;
    tensor.part = 0;
    tensor.offset_bytes = first * sizeof(float);
    tensor.size_bytes = tensor.elems() * sizeof(float);
    result.tensor_bytes += tensor.size_bytes;
  }
  result.parts = {{header.parts.front().path, std::as_bytes(std::span(*floats))}};
  result.storage = std::make_shared<std::pair<std::shared_ptr<const void>, std::shared_ptr<const void>>>(
      header.storage, floats);
  return result;
}

}  // namespace tandem::test_support
