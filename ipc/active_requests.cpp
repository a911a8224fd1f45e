#include "ipc/active_requests.h"

#include <algorithm>

namespace tandem::ipc {

const ActiveRequest* ActiveRequests::find(std::string_view id) const {
  const auto whole = requests_.find(id);
  if (whole != requests_.end()) return &whole->second;
  const auto part = requests_.find(id.substr(0, id.rfind('-')));
  if (part == requests_.end()) return nullptr;
  const auto& ids = part->second.sequence_ids;
  return std::find(ids.begin(), ids.end(), id) == ids.end() ? nullptr : &part->second;
}

}  // namespace tandem::ipc
