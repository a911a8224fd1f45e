#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::model {

/// Finds stop strings in a stream of text, however it is cut into pieces: text that might begin a stop string
/// is held back.  The stop string that is complete first wins, of several at once the longest.
class StopMatcher {
 public:
  /// Empty stop strings never match.
  explicit StopMatcher(std::vector<std::string> stops);

  /// Reads `piece`; appends what is safe to emit to `text`, which alone may have to grow.  After `stopped()`,
  /// nothing more is emitted; the stop string and what follows it are dropped.
  void push(std::string_view piece, std::string& text);
  std::string push(std::string_view piece);  ///< what is safe by itself
  /// Bytes that are held back.
  [[nodiscard]] std::size_t held_bytes() const noexcept { return held_.size(); }
  /// What was held back, once the stream ended without a stop string, or was interrupted by what none spans.
  std::string finish();
  [[nodiscard]] bool stopped() const noexcept { return stopped_; }
  /// The stop string that came; empty if none did.
  [[nodiscard]] const std::string& found() const noexcept { return found_; }

 private:
  /// One stop string and how much of it the text read so far ends with (Knuth, Morris and Pratt).
  struct Stop {
    std::string text;
    std::vector<std::size_t> fallback;  ///< longest shorter prefix that ends each prefix
    std::size_t matched = 0;            ///< bytes
  };

  static Stop compile(std::string text);
  static void advance(Stop& stop, char byte) noexcept;

  std::vector<Stop> stops_;
  std::string held_;  ///< has room for the longest stop string
  std::string found_;
  bool stopped_ = false;
};

}  // namespace tandem::model
