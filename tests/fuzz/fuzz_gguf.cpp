#include <cstddef>
#include <cstdint>
#include <span>

#include "model/error.h"
#include "model/hyperparameters.h"

/// libFuzzer's entry: any bytes either make a header or end in an error of the model room.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::model;
  try {
    const auto header = parse_header("fuzz", std::as_bytes(std::span(data, size)), nullptr);
    for (const auto& [key, entry] : header.metadata) {
      if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
        (void)array->strings();
        (void)array->integers();
        (void)array->numbers();
        (void)array->booleans();
      }
    }
    (void)read_hyperparameters(header);
  } catch (const BadModel&) {
  } catch (const UnsupportedModel&) {
  }
  return 0;
}
