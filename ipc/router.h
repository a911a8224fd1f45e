#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ipc/active_requests.h"
#include "ipc/answer.h"
#include "ipc/limits.h"
#include "ipc/service.h"

namespace tandem::ipc {

/// A wake that will come; destroying it calls it off.
using Alarm = std::shared_ptr<void>;

/// What every route works with.
struct RouteContext {
  Service& service;
  Limits limits;
  ActiveRequests active;
  /// Calls `wake` once after this time.  I/O thread only.
  std::function<Alarm(std::chrono::milliseconds, const Wake& wake)> wake_after{};
  std::size_t kept_scores = 0;  ///< of prompts, in answers that are sent whole.  I/O thread only
};

/// One method of one path.  A path that ends in '*' stands for every longer one, and `tail` is what is there
/// instead, percent-decoded.
struct Route {
  /// GET and DELETE run on the I/O thread and must be quick; POST runs on the helper thread and must leave
  /// RouteContext::active to the answer it starts.  Throws RequestError.
  using Handler = std::function<Outcome(const HttpRequest& request, const std::string& tail)>;

  std::string method;
  std::string path;
  Handler handler;
};

/// Finds the route of a request.  A dialect is a function that returns routes; the router joins them.
class Router {
 public:
  void add(std::vector<Route> routes);

  /// The route's outcome.  Unknown paths are answered 404, other methods 405, what a handler throws as an
  /// error object, all in the words of the path's dialect.
  [[nodiscard]] Outcome handle(const HttpRequest& request) const noexcept;

 private:
  [[nodiscard]] Outcome dispatch(const HttpRequest& request) const;
  /// The path that was probably meant, empty if there is none.
  [[nodiscard]] std::string nearest_path(const std::string& path) const;

  std::vector<Route> routes_;
};

}  // namespace tandem::ipc
