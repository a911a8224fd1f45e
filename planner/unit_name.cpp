#include "planner/unit_name.h"

#include <charconv>

#include "planner/names.h"

namespace tandem::planner {

std::string unit_name(UnitRef unit) {
  std::string name(to_string(unit.kind));
  if (unit.kind != UnitKind::head) name.append(".").append(std::to_string(unit.layer));
  return name;
}

std::optional<UnitRef> unit_from_name(std::string_view name) noexcept {
  const auto dot = name.find('.');
  const auto kind = value_of(kUnitKindNames, name.substr(0, dot));
  if (!kind) return std::nullopt;
  const bool numbered = dot != std::string_view::npos;
  if (numbered == (*kind == UnitKind::head)) return std::nullopt;
  if (!numbered) return UnitRef{UnitKind::head, 0};
  const auto digits = name.substr(dot + 1);
  UnitRef unit{*kind, 0};
  const auto* const end = digits.data() + digits.size();
  const auto [rest, error] = std::from_chars(digits.data(), end, unit.layer);
  if (error != std::errc{} || rest != end) return std::nullopt;
  return unit;
}

}  // namespace tandem::planner
