#include "ipc/api_keys.h"

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/sha.h>
#include <sstream>
#include <sys/stat.h>
#include <system_error>
#include <unistd.h>

#include "ipc/tcp_socket.h"

namespace tandem::ipc {

namespace {

constexpr std::size_t kMaxLabelBytes = 64;
constexpr std::size_t kMinKeyBytes = 16;
constexpr std::size_t kMaxKeyBytes = 256;
constexpr off_t kMaxFileBytes = 1 << 20;

[[noreturn]] void fail(const std::string& path, const std::string& problem) {
  throw BadListen("API key file " + path + ": " + problem);
}

[[noreturn]] void fail_errno(const std::string& path, const std::string& what) {
  fail(path, what + ": " + std::generic_category().message(errno));
}

/// The file's text, once it is known that it is no secret of somebody else and no secret to nobody.
std::string read_private_file(const std::string& path) {
  const Fd file(
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));  // does not wait for a FIFO's writer
  if (!file) fail_errno(path, "cannot be opened");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) fail_errno(path, "cannot look at it");
  if (!S_ISREG(info.st_mode)) fail(path, "is not a regular file");
  if (info.st_uid != ::geteuid() && info.st_uid != 0) fail(path, "belongs to another user");
  if ((info.st_mode & 0077) != 0) fail(path, "others may read or write it; chmod 600 it");
  if (info.st_size > kMaxFileBytes) fail(path, "is larger than 1 MiB");
  std::string text(static_cast<std::size_t>(info.st_size), '\0');
  std::size_t done = 0;
  while (done < text.size()) {
    const auto size = ::read(file.get(), text.data() + done, text.size() - done);
    if (size < 0 && errno == EINTR) continue;
    if (size < 0) fail_errno(path, "cannot be read");
    if (size == 0) break;
    done += static_cast<std::size_t>(size);
  }
  text.resize(done);
  return text;
}

bool is_key(std::string_view text) {
  return text.size() >= kMinKeyBytes && text.size() <= kMaxKeyBytes &&
         std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

}  // namespace

bool is_label(std::string_view text) {
  const auto allowed = [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '_' || c == '-';
  };
  return !text.empty() && text.size() <= kMaxLabelBytes && std::all_of(text.begin(), text.end(), allowed);
}

ApiKeys ApiKeys::read(const std::string& path) {
  ApiKeys keys;
  std::istringstream lines(read_private_file(path));
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string where = path + ":" + std::to_string(++number);
    std::istringstream words(line);
    std::string label;
    std::string key;
    std::string more;
    if (!(words >> label) || label.front() == '#') continue;
    if (!(words >> key) || words >> more) fail(where, "must be a label, a space and a key");
    if (!is_label(label)) fail(where, "a label is 1 to 64 letters, digits, '.', '_' or '-'");
    if (!is_key(key)) {
      fail(where, "a key has 16 to 256 printable ASCII characters; `openssl rand -hex 24` makes one");
    }
    if (keys.owner_of(key)) fail(where, "this key is there already");
    keys.entries_.push_back({label, digest_of(key)});
  }
  if (keys.entries_.empty()) fail(path, "holds no key");
  return keys;
}

std::optional<std::string> ApiKeys::owner_of(std::string_view key) const {
  const Digest digest = digest_of(key);
  const Entry* found = nullptr;
  for (const Entry& entry : entries_) {
    if (CRYPTO_memcmp(entry.digest.data(), digest.data(), digest.size()) == 0) found = &entry;
  }
  return found == nullptr ? std::nullopt : std::optional(found->label);
}

ApiKeys::Digest ApiKeys::digest_of(std::string_view key) {
  Digest digest{};
  ::SHA256(reinterpret_cast<const unsigned char*>(key.data()), key.size(), digest.data());
  return digest;
}

}  // namespace tandem::ipc
