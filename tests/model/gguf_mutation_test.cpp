#include <random>

#include <gtest/gtest.h>

#include "model/error.h"
#include "model/hyperparameters.h"
#include "tests/support/tiny_model.h"

namespace tandem::model {
namespace {

enum class Outcome { accepted, refused };

/// Reads everything that reading a damaged file may touch.  Anything but a model error escapes.
Outcome read_all(const std::string& bytes) {
  try {
    const auto header = parse_header("mutated.gguf", std::as_bytes(std::span(bytes)), nullptr);
    for (const auto& [key, entry] : header.metadata) {
      if (const auto* array = std::get_if<MetaArray>(&entry.value)) {
        (void)array->strings();
        (void)array->integers();
        (void)array->numbers();
        (void)array->booleans();
      }
    }
    for (const auto& tensor : header.tensors) {
      if (header.has_data(tensor)) (void)header.data(tensor);
    }
    (void)read_hyperparameters(header);
    return Outcome::accepted;
  } catch (const BadModel&) {
    return Outcome::refused;
  } catch (const UnsupportedModel&) {
    return Outcome::refused;
  }
}

/// Damages `bytes` in one of the ways files and attackers do.
std::string mutate(std::string bytes, std::mt19937_64& random) {
  const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random() % limit); };
  switch (below(5)) {
    case 0:
      bytes[below(bytes.size())] ^= static_cast<char>(1 << below(8));
      break;
    case 1:
      bytes[below(bytes.size())] = static_cast<char>(random());
      break;
    case 2:
      bytes.resize(below(bytes.size()));
      break;
    case 3: {  // a length, count or offset becomes extreme
      constexpr std::array<std::uint64_t, 8> kExtremes{0,          1,          1ULL << 31, 1ULL << 32,
                                                       1ULL << 61, 1ULL << 63, ~0ULL,      ~0ULL - 31};
      const auto extreme = test_support::le(kExtremes[below(kExtremes.size())]);
      bytes.replace(below(bytes.size() - extreme.size()), extreme.size(), extreme);
      break;
    }
    default: {  // a stretch is moved elsewhere
      const auto from = below(bytes.size());
      const auto piece = bytes.substr(from, below(64));
      bytes.replace(below(bytes.size() - piece.size()), piece.size(), piece);
    }
  }
  return bytes;
}

void survive_mutations(const std::string& valid, std::uint64_t seed) {
  ASSERT_EQ(read_all(valid), Outcome::accepted);
  std::mt19937_64 random(seed);
  std::size_t accepted = 0;
  std::size_t refused = 0;
  for (int i = 0; i < 4000; ++i) {
    auto bytes = mutate(valid, random);
    if (random() % 4 == 0) bytes = bytes.empty() ? bytes : mutate(bytes + std::string(16, '\0'), random);
    (read_all(bytes) == Outcome::accepted ? accepted : refused) += 1;
  }
  // Damage to a name or to data goes unnoticed, damage to structure must not.
  EXPECT_GT(accepted, 100U);
  EXPECT_GT(refused, 1000U);
}

TEST(GgufMutation, Gemma4HeaderNeverCrashesTheReader) {
  survive_mutations(test_support::TinyModel::gemma4().header_bytes(), 1);
}

TEST(GgufMutation, Gemma3HeaderNeverCrashesTheReader) {
  survive_mutations(test_support::TinyModel::gemma3().header_bytes(), 2);
}

TEST(GgufMutation, WholeFileNeverCrashesTheReader) {
  auto model = test_support::TinyModel::gemma4();
  // Divisors must be positive, the file's data are zeros.
  model.remove_tensor("rope_freqs.weight");
  survive_mutations(model.file_bytes().substr(0, 16'384), 3);
}

}  // namespace
}  // namespace tandem::model
