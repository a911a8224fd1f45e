#include "ipc/router.h"

#include <iterator>
#include <optional>
#include <string_view>
#include <utility>

#include "ipc/error_dialect.h"
#include "ipc/openai_error.h"

namespace tandem::ipc {

namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

/// RFC 3986 2.1; a '%' that no two digits follow stands for itself.
std::string percent_decoded(std::string_view text) {
  std::string decoded;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool escape = text[i] == '%' && i + 2 < text.size();
    const int high = escape ? hex_digit(text[i + 1]) : -1;
    const int low = escape ? hex_digit(text[i + 2]) : -1;
    if (high < 0 || low < 0) {
      decoded += text[i];
      continue;
    }
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  return decoded;
}

/// What `path` has in the place of the route's '*' (nothing for an exact route); nullopt if it is another
/// path.
std::optional<std::string> match(const std::string& route, const std::string& path) {
  if (route.back() != '*') return route == path ? std::optional<std::string>("") : std::nullopt;
  const std::string_view prefix(route.data(), route.size() - 1);
  if (path.size() <= prefix.size() || path.compare(0, prefix.size(), prefix) != 0) return std::nullopt;
  return percent_decoded(std::string_view(path).substr(prefix.size()));
}

HttpReply wrong_method(const HttpRequest& request, const std::string& allowed) {
  HttpReply reply = error_reply_at(request.path, RequestError(405, kInvalidRequest,
                                                              request.method + " is not a method of " +
                                                                  request.path + "; use " + allowed));
  reply.headers.emplace_back("Allow", allowed);
  return reply;
}

/// `path` without what is doubled or stands at its end: "//v1/models/" is /v1/models.
std::string tidied(std::string_view path) {
  std::string kept;
  for (const char c : path) {
    if (c != '/' || kept.empty() || kept.back() != '/') kept += c;
  }
  while (kept.size() > 1 && kept.back() == '/') kept.pop_back();
  return kept;
}

bool ends_with_steps(std::string_view path, std::string_view steps) {
  return steps.size() > 1 && steps.front() == '/' && path.ends_with(steps);
}

}  // namespace

void Router::add(std::vector<Route> routes) {
  routes_.insert(routes_.end(), std::make_move_iterator(routes.begin()),
                 std::make_move_iterator(routes.end()));
}

Outcome Router::handle(const HttpRequest& request) const noexcept {
  try {
    return dispatch(request);
  } catch (...) {
    return error_reply_at(request.path, std::current_exception());
  }
}

Outcome Router::dispatch(const HttpRequest& request) const {
  std::string allowed;
  for (const Route& route : routes_) {
    const auto tail = match(route.path, request.path);
    if (!tail) continue;
    if (route.method == request.method) return route.handler(request, *tail);
    allowed += (allowed.empty() ? "" : ", ") + route.method;
  }
  if (!allowed.empty()) return wrong_method(request, allowed);
  const auto nearest = nearest_path(request.path);
  throw RequestError(
      404, kInvalidRequest,
      "there is no " + request.path + " here" + (nearest.empty() ? "" : "; did you mean " + nearest + "?"),
      {}, "unknown_url");
}

/// Clients are easily given a base address with "/v1" where they add it, or without where they do not.
std::string Router::nearest_path(const std::string& path) const {
  const auto asked = tidied(path);
  std::string nearest;
  for (const Route& route : routes_) {
    if (route.path.back() == '*') continue;
    const bool lacks_its_start = ends_with_steps(route.path, asked);
    const bool has_one_too_many = ends_with_steps(asked, route.path);
    if (!lacks_its_start && !has_one_too_many) continue;
    if (nearest.empty() ||
        (lacks_its_start ? route.path.size() < nearest.size() : route.path.size() > nearest.size())) {
      nearest = route.path;
    }
  }
  return nearest;
}

}  // namespace tandem::ipc
