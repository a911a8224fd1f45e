#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>

#include "model/error.h"
#include "model/inventory.h"
#include "model/tokenizer.h"

namespace {

using namespace tandem::model;

/// Runs `use` on what a file says; it ends well or in an error of the model room.
template <typename Use>
void attempt(const Use& use) {
  try {
    use();
  } catch (const BadModel&) {
  } catch (const UnsupportedModel&) {
  }
}

void read_arrays(const Header& header) {
  for (const auto& [key, entry] : header.metadata) {
    if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
      (void)array->strings();
      (void)array->integers();
      (void)array->numbers();
      (void)array->booleans();
    }
  }
}

/// Whatever the vocabulary, ids are its own.
void encode(const Tokenizer& tokenizer) {
  for (const auto special : {SpecialText::plain, SpecialText::parsed}) {
    for (const auto id : tokenizer.encode("a b  ab\n\n<bos>\xE2\x96\x81\xFF<0x41>", special)) {
      if (id < 0 || static_cast<std::uint32_t>(id) >= tokenizer.size()) std::abort();
      (void)tokenizer.token_bytes(id);
    }
  }
}

}  // namespace

/// libFuzzer's entry: any bytes are a header or are refused, and so are the model and the vocabulary in it.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  attempt([&] {
    const auto header = parse_header("fuzz", std::as_bytes(std::span(data, size)), nullptr);
    read_arrays(header);
    attempt([&] { check_inventory(header, read_hyperparameters(header)); });
    attempt([&] { encode(*Tokenizer::from_header(header)); });
  });
  return 0;
}
