#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "model/answer_parser.h"

namespace {

using namespace tandem::model;

/// What came out, as one text, with a mark where a call was.  Calls that are not JSON end the process.
std::string written(std::span<const AnswerEvent> events) {
  std::string text;
  for (const auto& event : events) {
    if (const auto* content = std::get_if<ContentDelta>(&event)) text += content->text;
    if (const auto* reasoning = std::get_if<ReasoningDelta>(&event)) text += reasoning->text;
    if (const auto* call = std::get_if<ToolCall>(&event)) {
      if (!nlohmann::json::accept(call->arguments)) std::abort();
      text += "\1" + call->name + "\1" + call->arguments + "\1";
    }
  }
  return text;
}

/// Spelled markers are the tokens; text comes in pieces of `piece_bytes`.
std::string parse(std::string_view text, std::size_t piece_bytes) {
  AnswerParser parser({});
  std::string out;
  while (!text.empty()) {
    const auto* marker =
        std::ranges::find_if(kMarkers, [&](Marker m) { return text.starts_with(text_of(m)); });
    if (marker != std::end(kMarkers)) {
      parser.marker(*marker);
      text.remove_prefix(text_of(*marker).size());
    } else {
      const auto bytes = std::min(std::max<std::size_t>(text.find('<', 1), 1), piece_bytes);
      parser.text(text.substr(0, bytes));
      text.remove_prefix(std::min(bytes, text.size()));
    }
    out += written(parser.events());
    parser.clear();
  }
  parser.finish();
  return out + written(parser.events());
}

}  // namespace

/// libFuzzer's entry: any answer comes apart, however it is cut, always into the same parts.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (parse(text, 1) != parse(text, 1000)) std::abort();
  return 0;
}
