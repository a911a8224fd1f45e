#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/support/gguf_bytes.h"

namespace tandem::test_support {

/// Headers of tiny Gemma models with known shapes, piece by piece, for tests that get one piece wrong.
/// Six layers (five sliding, one global), width 32, 4 heads, F32 throughout; tensor data left out.
class TinyModel {
 public:
  static TinyModel gemma3();
  static TinyModel gemma4();

  /// Replaces the pair that begins with `key`, or appends it.
  void set_key(const std::string& key, const std::string& pair);
  void remove_key(const std::string& key);
  void add_tensor(const std::string& name, const std::vector<std::uint64_t>& dims, std::uint32_t type = 0);
  void remove_tensor(const std::string& name);
  void reshape_tensor(const std::string& name, const std::vector<std::uint64_t>& dims,
                      std::uint32_t type = 0);

  /// Header without tensor data.
  [[nodiscard]] std::string header_bytes() const { return file().header(); }
  /// The whole file, every tensor's data zero.
  [[nodiscard]] std::string file_bytes() const;

 private:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> dims;
    std::uint32_t type;
  };
  struct Key {
    std::string key;
    std::string pair;
  };

  [[nodiscard]] GgufBytes file() const;
  void add_common_keys(const std::string& arch);
  void add_layer(std::uint32_t index, std::uint64_t q_width, std::uint64_t kv_width, std::uint64_t head_dim,
                 bool has_v);

  std::vector<Key> keys_;
  std::vector<Tensor> tensors_;
};

}  // namespace tandem::test_support
