#pragma once

#include <cstddef>
#include <string>

namespace tandem::model {

/// Makes room for `more` bytes of `text`: where it has not enough, in the memory of `spare`, if that has.
/// What `spare` held is gone then, and it has the other memory.  Nothing is allocated.
inline void take_room(std::string& text, std::size_t more, std::string& spare) {
  const auto bytes = text.size() + more;
  if (bytes <= text.capacity() || bytes > spare.capacity()) return;
  spare.assign(text);
  text.swap(spare);
  spare.clear();
}

}  // namespace tandem::model
