#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "planner/errors.h"
#include "planner/plan_json.h"
#include "planner/plan_table.h"

/// libFuzzer's entry: any text is a plan or is refused by BadPlan; a plan that is written is read as it was.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tandem::planner;
  try {
    const auto plan = parse_plan({reinterpret_cast<const char*>(data), size});
    (void)plan_table(plan);
    if (!(parse_plan(plan_to_text(plan)) == plan)) std::abort();
  } catch (const BadPlan&) {
  }
  return 0;
}
