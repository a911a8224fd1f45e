#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace tandem::ipc {

/// A request being answered: whose it is, and the sequences it became.
struct ActiveRequest {
  std::string account;                    ///< of its sender
  std::vector<std::string> sequence_ids;  ///< what Service::cancel knows
};

/// The requests being answered, so that one connection can cancel what another began.  I/O thread only.
class ActiveRequests {
 public:
  void add(const std::string& id, ActiveRequest request) { requests_[id] = std::move(request); }
  void remove(const std::string& id) { requests_.erase(id); }

  /// The request with this id, or the one that a sequence with this id belongs to; nullptr if none.
  [[nodiscard]] const ActiveRequest* find(std::string_view id) const;

 private:
  std::map<std::string, ActiveRequest, std::less<>> requests_;
};

}  // namespace tandem::ipc
