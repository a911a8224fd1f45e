#include "ipc/status_page.h"

#include <array>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdexcept>
#include <string>
#include <string_view>

#include "embedded/status_page.h"

namespace tandem::ipc {

namespace {

/// What stands between `<tag>` and `</tag>`.
std::string_view element(std::string_view page, const std::string& tag) {
  const std::string open = "<" + tag + ">";
  const auto begin = page.find(open);
  const auto end = page.find("</" + tag + ">", begin);
  if (begin == std::string_view::npos || end == std::string_view::npos) {
    throw std::logic_error("the status page has no " + open);
  }
  return page.substr(begin + open.size(), end - begin - open.size());
}

/// As a Content-Security-Policy names it: 'sha256-BASE64'.
std::string source_of(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data());
  std::array<unsigned char, 4 * ((SHA256_DIGEST_LENGTH + 2) / 3) + 1> base64{};
  ::EVP_EncodeBlock(base64.data(), digest.data(), static_cast<int>(digest.size()));
  return "'sha256-" + std::string(reinterpret_cast<const char*>(base64.data())) + "'";
}

}  // namespace

HttpReply status_page() {
  const std::string_view page = embedded::status_page;
  HttpReply reply;
  reply.content_type = "text/html; charset=utf-8";
  reply.body = page;
  reply.headers = {
      {"Content-Security-Policy", "default-src 'none'; connect-src 'self'; img-src data:; style-src " +
                                      source_of(element(page, "style")) + "; script-src " +
                                      source_of(element(page, "script")) +
                                      "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"},
      {"X-Content-Type-Options", "nosniff"},
      {"Referrer-Policy", "no-referrer"},
      {"Cache-Control", "no-cache"}};
  return reply;
}

}  // namespace tandem::ipc
