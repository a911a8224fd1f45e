#include "model/utf8_ranges.h"

#include <algorithm>
#include <array>

namespace tandem::model {
namespace {

constexpr char32_t kLastCode = 0x10FFFF;
constexpr CodeRange kSurrogates = {0xD800, 0xDFFF};

std::size_t utf8_bytes(char32_t code) {
  if (code < 0x80) return 1;
  if (code < 0x800) return 2;
  return code < 0x10000 ? 3 : 4;
}

std::array<std::uint8_t, 4> utf8_of(char32_t code) {
  const auto trail = [&](int shift) { return static_cast<std::uint8_t>(0x80U | (code >> shift & 0x3FU)); };
  const auto lead = [&](unsigned mark, int shift) { return static_cast<std::uint8_t>(mark | code >> shift); };
  switch (utf8_bytes(code)) {
    case 1:
      return {lead(0, 0)};
    case 2:
      return {lead(0xC0, 6), trail(0)};
    case 3:
      return {lead(0xE0, 12), trail(6), trail(0)};
    default:
      return {lead(0xF0, 18), trail(12), trail(6), trail(0)};
  }
}

/// Codes of one encoded length, none of them a surrogate.
void append_same_length(CodeRange range, std::vector<ByteRanges>& out) {
  // The range is one product of byte ranges where its trailing bytes run over everything or do not change.
  for (char32_t block = 0x40; block < 0x200000; block <<= 6) {
    const char32_t low = block - 1;
    if ((range.first & ~low) == (range.last & ~low)) break;
    if ((range.first & low) != 0) {
      append_same_length({range.first, range.first | low}, out);
      return append_same_length({(range.first | low) + 1, range.last}, out);
    }
    if ((range.last & low) != low) {
      append_same_length({range.first, (range.last & ~low) - 1}, out);
      return append_same_length({range.last & ~low, range.last}, out);
    }
  }
  const auto first = utf8_of(range.first);
  const auto last = utf8_of(range.last);
  ByteRanges bytes;
  for (std::size_t i = 0; i < utf8_bytes(range.first); ++i) bytes.push_back({first.at(i), last.at(i)});
  out.push_back(std::move(bytes));
}

}  // namespace

std::vector<ByteRanges> utf8_ranges(CodeRange range) {
  constexpr std::array<CodeRange, 5> kLengths = {{{0, 0x7F},
                                                  {0x80, 0x7FF},
                                                  {0x800, kSurrogates.first - 1},
                                                  {kSurrogates.last + 1, 0xFFFF},
                                                  {0x10000, kLastCode}}};
  std::vector<ByteRanges> out;
  for (const auto& length : kLengths) {
    const CodeRange part = {std::max(range.first, length.first), std::min(range.last, length.last)};
    if (part.first <= part.last) append_same_length(part, out);
  }
  return out;
}

std::vector<CodeRange> complement(std::vector<CodeRange> ranges) {
  std::ranges::sort(ranges, {}, &CodeRange::first);
  std::vector<CodeRange> others;
  char32_t next = 0;
  for (const auto& range : ranges) {
    if (range.first > next) others.push_back({next, range.first - 1});
    next = std::max<char32_t>(next, range.last + 1);
  }
  if (next <= kLastCode) others.push_back({next, kLastCode});
  return others;
}

}  // namespace tandem::model
