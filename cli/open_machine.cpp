#include "cli/open_machine.h"

#include <fstream>
#include <iterator>

#include "planner/errors.h"

namespace tandem::cli {

planner::MachineProfile open_machine(const std::string& name) {
  const bool is_file = name.find('/') != std::string::npos || name.ends_with(".json");
  if (!is_file) return planner::builtin_machine(name);
  std::ifstream file(name, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw planner::BadProfile("cannot read machine profile " + name);
  return planner::parse_machine(text, name);
}

}  // namespace tandem::cli
