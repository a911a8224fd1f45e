#include "model/byte_reader.h"

#include "model/error.h"

namespace tandem::model {
namespace {

constexpr std::uint64_t kMaxStringBytes = std::uint64_t{1} << 30;

}  // namespace

std::string printable(std::string_view text) {
  constexpr std::size_t kMaxBytes = 64;
  std::string shown(text.substr(0, kMaxBytes));
  for (char& c : shown) {
    if (c < ' ' || c > '~') c = '?';
  }
  if (text.size() > kMaxBytes) shown += "...";
  return shown;
}

std::string_view ByteReader::read_string(std::string_view field) {
  const auto start = offset_;
  const auto size_bytes = read<std::uint64_t>(field);
  if (size_bytes > kMaxStringBytes || size_bytes > remaining()) {
    const auto left = remaining();
    offset_ = start;
    fail(field, "string of " + std::to_string(size_bytes) + " bytes, limit is 1 GiB and the " +
                    std::to_string(left) + " bytes left in the file");
  }
  const auto bytes = take(size_bytes, field);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::span<const std::byte> ByteReader::take(std::uint64_t size_bytes, std::string_view field) {
  if (size_bytes > remaining()) {
    fail(field, "needs " + std::to_string(size_bytes) + " bytes, the file ends after " +
                    std::to_string(remaining()));
  }
  const auto taken = bytes_.subspan(offset_, size_bytes);
  offset_ += size_bytes;
  return taken;
}

void ByteReader::fail(std::string_view field, const std::string& problem) const {
  throw BadModel(*file_, offset_, std::string(field), problem);
}

}  // namespace tandem::model
