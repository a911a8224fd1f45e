#include "planner/placement.h"

#include <gtest/gtest.h>

#include "planner/unit_name.h"

namespace tandem::planner {
namespace {

TEST(Placement, RunsUnitsInOrder) {
  const std::vector<UnitRef> expected{{UnitKind::attention, 0},
                                      {UnitKind::ffn, 0},
                                      {UnitKind::attention, 1},
                                      {UnitKind::ffn, 1},
                                      {UnitKind::head, 0}};
  EXPECT_EQ(all_units(2), expected);
}

TEST(Placement, CutsStagesWhereTheDeviceChanges) {
  auto placement = Placement::all_on(Device::cpu, 3);
  EXPECT_EQ(stages_of(placement), (std::vector<StagePlan>{{Device::cpu, all_units(3)}}));
  placement.move({UnitKind::ffn, 0}, Device::cuda0);
  placement.move({UnitKind::attention, 1}, Device::cuda0);
  const std::vector<StagePlan> expected{
      {Device::cpu, {{UnitKind::attention, 0}}},
      {Device::cuda0, {{UnitKind::ffn, 0}, {UnitKind::attention, 1}}},
      {Device::cpu, {{UnitKind::ffn, 1}, {UnitKind::attention, 2}, {UnitKind::ffn, 2}, {UnitKind::head, 0}}}};
  EXPECT_EQ(stages_of(placement), expected);
  EXPECT_EQ(crossings_of(expected, Device::cpu), 2U);
  EXPECT_EQ(crossings_of(expected, Device::cuda0), 3U);
}

TEST(UnitName, GoesThereAndBack) {
  for (const auto unit : all_units(70)) EXPECT_EQ(unit_from_name(unit_name(unit)), unit);
  EXPECT_EQ(unit_name({UnitKind::attention, 7}), "attention.7");
  EXPECT_EQ(unit_name({UnitKind::head, 0}), "head");
}

TEST(UnitName, RefusesOtherText) {
  for (const auto* text :
       {"", "head.0", "ffn", "ffn.", "ffn.-1", "ffn.1x", "ffn.99999999999", "attention 1", ".1"}) {
    EXPECT_EQ(unit_from_name(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace tandem::planner
