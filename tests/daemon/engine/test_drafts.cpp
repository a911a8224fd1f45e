// Drafts through a planned, bound and executed model: they wait where the plan counts them.

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "backends/cpu/repacked.h"
#include "backends/cuda/accelerator.h"
#include "backends/cuda/emulation/device.h"
#include "daemon/engine/plan_executor.h"
#include "memory/bind.h"
#include "planner/machine.h"
#include "planner/make_plan.h"
#include "planner/model_input.h"
#include "tests/backends/drafted.h"
#include "tests/support/fixture.h"

namespace tandem::engine {
namespace {

using planner::Device;
using planner::Placement;
using test_support::Chunk;

constexpr std::uint32_t kDraftSequences = 2;
constexpr std::uint32_t kDraftRows = 3;

/// An executor of a plan that counts on drafts, driven as test_support::CpuModel is.
class PlannedModel {
 public:
  PlannedModel(const std::string& name, const Placement& placement)
      : header_(model::read_header(test_support::reference_path(name))),
        accelerator_(cuda::make_accelerator(cuda::emulation::make_device({.seed = 1}))),
        bound_(plan(placement), header_, model::read_hyperparameters(header_),
               planner::stages_of(placement).size() > 1 ? accelerator_.get() : nullptr,
               &cpu::best_repacker()),
        executor_(loaded(bound_), {.threads = 2, .pin = false}) {
    executor_.start();
  }

  /// Logits of all rows, of which a step has eight at most.
  std::vector<float> step(std::span<const Chunk> chunks) {
    Rows rows;
    for (const Chunk& chunk : chunks) {
      const auto first_row = static_cast<std::uint32_t>(rows.tokens.size());
      rows.sequences.push_back({chunk.slot, first_row, static_cast<std::uint32_t>(chunk.tokens.size()),
                                chunk.first_position, 0, &pages_[chunk.slot], chunk.draft_rows,
                                chunk.accepted_rows});
      rows.tokens.insert(rows.tokens.end(), chunk.tokens.begin(), chunk.tokens.end());
    }
    for (std::uint32_t row = 0; row < rows.tokens.size(); ++row) rows.wanted.push_back(row);
    executor_.begin(rows);
    executor_.finish();
    std::vector<float> all;
    for (std::uint32_t row = 0; row < rows.tokens.size(); ++row) {
      const auto logits = executor_.logits(row);
      all.insert(all.end(), logits.begin(), logits.end());
    }
    return all;
  }

  [[nodiscard]] const memory::BoundPlan& bound() const { return bound_; }
  [[nodiscard]] std::uint32_t vocab() const { return executor_.vocab(); }

 private:
  [[nodiscard]] planner::Plan plan(const Placement& placement) const {
    planner::Workload workload;
    workload.max_seq_len = 60;  // one page
    workload.sequences = kDraftSequences;
    workload.draft_rows = kDraftRows;
    workload.micro_batch = 8;
    return planner::plan_for_placement(planner::model_input(header_, model::read_hyperparameters(header_)),
                                       {}, workload, planner::builtin_machine("default"), placement);
  }
  static memory::BoundPlan& loaded(memory::BoundPlan& bound) {
    bound.load({});
    return bound;
  }

  model::Header header_;
  std::unique_ptr<device::Accelerator> accelerator_;
  memory::BoundPlan bound_;
  PlanExecutor executor_;
  std::uint32_t pages_[kDraftSequences] = {1, 0};
};

std::vector<std::int32_t> some_tokens() {
  std::vector<std::int32_t> tokens(50);
  for (std::size_t i = 0; i < tokens.size(); ++i) tokens[i] = static_cast<std::int32_t>(3 + 11 * i % 47);
  return tokens;
}

class DraftsOfPlans : public testing::TestWithParam<const char*> {
 protected:
  static void expect_bits_of_undrafted(const Placement& placement) {
    const auto tokens = some_tokens();
    PlannedModel plain(GetParam(), placement), model(GetParam(), placement);
    const auto expected = test_support::undrafted(plain, tokens, 1);
    for (const auto& logits : test_support::Drafted(tokens, 1, kDraftRows, model.vocab(), 7).run(model)) {
      EXPECT_EQ(logits, expected);
    }
    for (const auto& line : model.bound().ledger()) {
      if (line.purpose == planner::Purpose::kv_staging) {
        EXPECT_EQ(line.used_bytes, line.planned_bytes);
      }
    }
  }
};

TEST_P(DraftsOfPlans, GiveTheBitsOfDecodingOnTheCpu) {
  expect_bits_of_undrafted(Placement::all_on(Device::cpu, 4));
}

TEST_P(DraftsOfPlans, GiveTheBitsOfDecodingOnBothDevices) {
  auto placement = Placement::all_on(Device::cpu, 4);
  for (const std::uint32_t layer : {0U, 3U}) placement.attention[layer] = Device::emulated0;
  placement.ffn[1] = Device::emulated0;
  expect_bits_of_undrafted(placement);
}

INSTANTIATE_TEST_SUITE_P(Models, DraftsOfPlans, testing::Values("gemma3_4l.gguf", "gemma4_4l.gguf"),
                         [](const auto& of) { return std::string(of.param).substr(0, 9); });

}  // namespace
}  // namespace tandem::engine
