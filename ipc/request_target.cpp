#include "ipc/request_target.h"

namespace tandem::ipc {

RequestTarget parse_target(std::string_view target) {
  RequestTarget result;
  const auto scheme_end = target.find("://");
  if (!target.empty() && target.front() != '/' && scheme_end != std::string_view::npos) {
    target.remove_prefix(scheme_end + 3);
    const auto path_start = target.find_first_of("/?#");
    result.authority = target.substr(0, path_start);
    target = path_start == std::string_view::npos ? std::string_view() : target.substr(path_start);
  }
  result.path = target.substr(0, target.find_first_of("?#"));
  if (result.path.empty()) result.path = "/";
  return result;
}

std::string_view target_of(std::string_view request) {
  const std::string_view line = request.substr(0, request.find_first_of("\r\n"));
  const auto space = line.find(' ');
  if (space == std::string_view::npos) return {};
  const std::string_view rest = line.substr(space + 1);
  return rest.substr(0, rest.find(' '));
}

}  // namespace tandem::ipc
