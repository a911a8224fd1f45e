#include "planner/printable.h"

#include <algorithm>

#include <nlohmann/json.hpp>

namespace tandem::planner {

std::string printable(std::string_view text) {
  using nlohmann::json;
  const auto quoted = json(text).dump(-1, ' ', false, json::error_handler_t::replace);
  auto valid = json::parse(quoted).get<std::string>();
  const auto is_control = [](unsigned char c) { return c < 0x20 || c == 0x7f; };
  std::ranges::replace_if(valid, is_control, ' ');
  return valid;
}

}  // namespace tandem::planner
