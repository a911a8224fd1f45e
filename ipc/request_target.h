#pragma once

#include <string>
#include <string_view>

namespace tandem::ipc {

/// What the first line of a request asks for.
struct RequestTarget {
  std::string path;       ///< without the query; "/" where there is none
  std::string authority;  ///< host and port, where the target is a whole URL, as clients write it for a proxy
};

RequestTarget parse_target(std::string_view target);

/// The target in the first line of what there is of a request; empty if it is not there yet.
std::string_view target_of(std::string_view request);

}  // namespace tandem::ipc
