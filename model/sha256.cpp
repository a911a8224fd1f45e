#include "model/sha256.h"

#include <array>
#include <openssl/evp.h>
#include <string_view>

#include "model/error.h"

namespace tandem::model {

std::string sha256_hex(std::span<const std::byte> bytes) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int digest_bytes = 0;
  if (EVP_Digest(bytes.data(), bytes.size(), digest.data(), &digest_bytes, EVP_sha256(), nullptr) != 1) {
    throw Error("SHA-256 is not available from libcrypto");
  }
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string hash;
  for (unsigned int i = 0; i < digest_bytes; ++i) {
    hash += kHex[digest.at(i) >> 4];
    hash += kHex[digest.at(i) & 15U];
  }
  return hash;
}

}  // namespace tandem::model
