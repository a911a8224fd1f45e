#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace tandem::planner {

/// A size as people type it: digits and a unit, "12GiB".  Units: none or B, KB MB GB TB (powers of 1000), KiB
/// MiB GiB TiB (powers of 1024), in any case.  Throws BadQuestion for anything else and beyond 2^64; `what`
/// names the value in the message.
std::uint64_t parse_size(std::string_view what, std::string_view text);

/// Throws BadQuestion: `text` is no whole number up to `max`.
[[noreturn]] void refuse_count(std::string_view what, std::string_view text, std::uint64_t max);

/// A plain non-negative decimal number, at most `max`.  Throws BadQuestion.
std::uint64_t parse_count(std::string_view what, std::string_view text, std::uint64_t max);

/// Digits in groups of three: "6,960,054,464".
std::string grouped(std::uint64_t number);

/// "1 token", "8,192 tokens".
std::string tokens_text(std::uint64_t tokens);

/// Three digits or more and a decimal unit: "6.96 GB", "512 B".
std::string short_size(std::uint64_t bytes);

/// In the largest binary unit of which it is a whole number: "6 GiB", "1,536 MiB", "1,000 B".
std::string exact_size(std::uint64_t bytes);

/// Six letters at most: "0.43s", "359s", "2.78h", "13.5d", ">9999d".
std::string short_duration(double seconds);

/// A number with as many decimals as three significant digits need, three at most: "7.95", "44.1", "1380",
/// "0.005".
std::string three_digits(double number);

}  // namespace tandem::planner
