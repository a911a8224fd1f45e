#pragma once

#include <string_view>

#include "model/utf8.h"

namespace tandem::model {

/// Whether `text` is whole characters of UTF-8 and nothing else.
inline bool is_whole(std::string_view text) {
  while (!text.empty() && utf8_front(text).state == Utf8State::whole) {
    text.remove_prefix(utf8_front(text).bytes);
  }
  return text.empty();
}

}  // namespace tandem::model
