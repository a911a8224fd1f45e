#include "planner/optimum.h"

#include <algorithm>
#include <array>
#include <optional>

#include <gtest/gtest.h>

#include "planner/footprint.h"
#include "planner/make_plan.h"
#include "planner/plan_consistency.h"
#include "tests/planner/slow_bytes.h"
#include "tests/planner/slow_walk.h"
#include "tests/planner/subjects.h"

namespace tandem::planner {
namespace {

using planner_test::pick;
using planner_test::SlowWalk;
using planner_test::Subject;

constexpr std::array kObjectives{Optimise::decode, Optimise::prefill, Optimise::request, Optimise::throughput,
                                 Optimise::context};

/// Placement number `bits` of all those of a model.
Placement numbered(std::uint32_t bits, std::size_t layers, Device gpu) {
  auto placement = Placement::all_on(Device::cpu, layers);
  for (const auto unit : all_units(layers)) {
    if ((bits & 1U) != 0) placement.move(unit, gpu);
    bits >>= 1U;
  }
  return placement;
}

/// A question to the planner.
struct Question {
  Subject subject;
  Budget budget;
  Workload workload;
  MachineProfile machine;
  Device gpu = Device::cuda0;

  [[nodiscard]] std::size_t layers() const { return subject.hyper.layers.size(); }
  [[nodiscard]] SlowWalk walker() const {
    return {subject.header, subject.hyper, budget, workload, machine, gpu};
  }
  [[nodiscard]] std::optional<Choice> answer(const SearchLimits& limits = {}) const {
    return fastest(subject.input, budget, workload, machine, gpu, limits);
  }
};

/// Budgets are what some placement takes, give or take a byte or nothing: at the edge of fitting.
Question random_question_about(Subject subject, std::mt19937& random) {
  Question question{std::move(subject), {}, {}, {}, Device::cuda0};
  question.workload = planner_test::random_workload(random);
  question.workload.expected_context = pick(random, 1, question.workload.max_seq_len);
  question.workload.optimise = kObjectives[pick(random, 0, kObjectives.size() - 1)];
  question.machine = planner_test::random_machine(random);
  question.gpu = pick(random, 0, 1) == 0 ? Device::cuda0 : Device::emulated0;
  question.budget.vram_reserve_bytes = pick(random, 0, 1) * 1000;
  question.budget.ram_reserve_bytes = pick(random, 0, 1) * 500;
  const auto walker = question.walker();
  const auto some = planner_test::random_placement(random, question.layers(), question.gpu);
  const auto other = planner_test::random_placement(random, question.layers(), question.gpu);
  const auto bytes = walker.walk(some, 1, 1, 1);
  question.budget.vram_bytes = bytes.vram_bytes + pick(random, 0, 2) * 64;
  if (question.budget.vram_bytes > 0) question.budget.vram_bytes -= pick(random, 0, 1);
  const auto ram_choice = pick(random, 0, 2);
  if (ram_choice == 0) question.budget.ram_bytes = bytes.ram_bytes - pick(random, 0, 1);
  if (ram_choice == 1) question.budget.ram_bytes = walker.walk(other, 1, 1, 1).ram_bytes;
  return question;
}

Question random_question(std::mt19937& random, std::uint32_t most_layers) {
  return random_question_about(planner_test::random_subject(random, most_layers), random);
}

/// Of a model with units that no GPU can run, now and then none.
Question random_odd_question(std::mt19937& random) {
  auto question = random_question_about(planner_test::random_odd_subject(random, 3), random);
  if (question.workload.kv_type == KvType::q8_0) question.workload.kv_type = KvType::f16;
  if (!question.walker().can_stream()) question.workload.stream_rows = 0;
  return question;
}

/// The least objective over all placements that fit, by the slow walk; the head where `head` says.
std::optional<std::uint64_t> brute_force_ps(const Question& question, std::optional<Device> head) {
  const auto walker = question.walker();
  std::optional<std::uint64_t> least;
  for (std::uint32_t bits = 0; bits < 1U << (2 * question.layers() + 1); ++bits) {
    const auto placement = numbered(bits, question.layers(), question.gpu);
    if ((head && placement.head != *head) || !walker.fits(placement)) continue;
    const auto time_ps = walker.objective_ps(placement);
    if (!least || time_ps < *least) least = time_ps;
  }
  return least;
}

void expect_optimal(const Question& question, const SearchLimits& limits, int round) {
  const auto least_ps = brute_force_ps(question, limits.head);
  const auto choice = question.answer(limits);
  ASSERT_EQ(choice.has_value(), least_ps.has_value()) << "round " << round;
  if (!choice) return;
  const auto walker = question.walker();
  ASSERT_EQ(choice->time_ps, *least_ps) << "round " << round;
  ASSERT_EQ(walker.objective_ps(choice->placement), *least_ps) << "round " << round;
  ASSERT_TRUE(walker.fits(choice->placement)) << "round " << round;
  ASSERT_TRUE(choice->proven()) << "round " << round;
}

TEST(Optimum, EqualsBruteForceOnThousandsOfSmallModels) {
  std::mt19937 random(51);
  for (int round = 0; round < 2500; ++round) {
    expect_optimal(random_question(random, 3), {}, round);
    if (HasFatalFailure()) return;
  }
}

/// As large models do whose counts are too many.
TEST(Optimum, EqualsBruteForceWhereNothingIsCounted) {
  std::mt19937 random(59);
  SearchLimits limits;
  limits.most_counts = 0;
  for (int round = 0; round < 800; ++round) {
    auto question = random_question(random, 3);
    if (round % 2 == 0) question.workload.optimise = Optimise::throughput;
    expect_optimal(question, limits, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Optimum, EqualsBruteForceWhereBothDevicesWorkAtOnce) {
  std::mt19937 random(57);
  for (int round = 0; round < 400; ++round) {
    auto question = random_question(random, 3);
    question.workload.optimise = Optimise::throughput;
    question.workload.sequences = std::max(2U, question.workload.sequences);
    question.workload.micro_batch += 2 * (question.workload.draft_rows + 1);
    expect_optimal(question, {}, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Optimum, EqualsBruteForceWhereNoGpuCanRunSomeUnits) {
  std::mt19937 random(61);
  int with_both = 0;
  for (int round = 0; round < 2500; ++round) {
    const auto question = random_odd_question(random);
    expect_optimal(question, {}, round);
    if (round % 5 == 0) expect_optimal(question, {question.gpu}, round);
    if (HasFatalFailure()) return;
    const auto choice = question.answer();
    const bool all = question.walker().can_run(Placement::all_on(question.gpu, question.layers()));
    if (choice && !all && stages_of(choice->placement).size() > 1) ++with_both;
  }
  EXPECT_GT(with_both, 300);
}

/// Often with so little VRAM that few units fit beside the buffers, and with as fast a bus as the GPU works.
TEST(Optimum, EqualsBruteForceWherePromptsAreStreamed) {
  std::mt19937 random(58);
  int nearly_all_on_the_cpu = 0;
  for (int round = 0; round < 900; ++round) {
    auto question = random_question(random, 3);
    auto& workload = question.workload;
    workload.optimise = round % 2 == 0 ? Optimise::prefill : Optimise::request;
    workload.micro_batch += workload.sequences;
    workload.stream_rows =
        static_cast<std::uint32_t>(pick(random, 1, std::min<std::uint64_t>(workload.expected_context, 4)));
    question.machine.pcie_gb_per_s *= static_cast<double>(pick(random, 1, 30));
    if (round % 3 == 0) {
      auto few = Placement::all_on(Device::cpu, question.layers());
      few.move(all_units(question.layers())[pick(random, 0, 2 * question.layers() - 1)], question.gpu);
      question.budget.vram_bytes = question.walker().walk(few, 1, 1, 1).vram_bytes;
    }
    expect_optimal(question, {}, round);
    if (HasFatalFailure()) return;
    const auto choice = question.answer();
    if (!choice) continue;
    std::size_t on_gpu = 0;
    for (const auto unit : all_units(question.layers()))
      on_gpu += choice->placement.device_of(unit) == Device::cpu ? 0 : 1;
    nearly_all_on_the_cpu += on_gpu == 1 ? 1 : 0;
  }
  EXPECT_GT(nearly_all_on_the_cpu, 50);
}

/// The CPU's FFN halves need less room where they are streamed, which is where anything is on the GPU: RAM
/// for little on the GPU is often too little for nothing there.
TEST(Optimum, EqualsBruteForceWhereStreamingSavesRam) {
  std::mt19937 random(60);
  int too_little_for_the_cpu_alone = 0;
  for (int round = 0; round < 1200; ++round) {
    auto question = random_question(random, 3);
    auto& workload = question.workload;
    workload.micro_batch += 20;
    workload.max_seq_len += 20;
    workload.stream_rows = static_cast<std::uint32_t>(pick(random, 1, 4));
    const auto units = all_units(question.layers());
    auto few = Placement::all_on(Device::cpu, question.layers());
    const auto moved = pick(random, 1, 3);
    for (std::uint64_t i = 0; i < moved; ++i)
      few.move(units[pick(random, 0, units.size() - 1)], question.gpu);
    const auto walker = question.walker();
    const auto bytes = walker.walk(few, 1, 1, 1);
    question.budget.ram_bytes = bytes.ram_bytes - (round % 4 == 0 ? 1 : 0);
    if (round % 3 != 0) question.budget.vram_bytes = bytes.vram_bytes;
    expect_optimal(question, {}, round);
    if (HasFatalFailure()) return;
    const auto on_cpu = walker.walk(Placement::all_on(Device::cpu, question.layers()), 1, 1, 1);
    too_little_for_the_cpu_alone += on_cpu.ram_bytes > question.budget.ram_bytes ? 1 : 0;
  }
  EXPECT_GT(too_little_for_the_cpu_alone, 300);
}

/// Where the devices are about equally busy thousands of placements are near the best.
TEST(Optimum, IsProvenForLargeModelsWhereBothDevicesAreBusy) {
  // Beside so many channels of memory these cards read weights about as fast as the CPU does.
  for (const auto* machine : {"default", "l4+ddr5-4800-12ch", "t4+ddr5-4800-8ch"}) {
    for (const auto* name : {"gemma3-27b-qat-q4_0", "gemma3-27b-q4_k_m", "gemma4-31b-q4_k_m"}) {
      for (const std::uint64_t mib : {6460, 10872, 14181, 15284, 18593}) {
        Question question{
            planner_test::catalogue_subject(name), {}, {}, builtin_machine(machine), Device::cuda0};
        question.budget.vram_bytes = mib << 20U;
        question.workload.expected_context = 2048;
        question.workload.optimise = Optimise::throughput;
        const auto choice = question.answer();
        ASSERT_TRUE(choice);
        EXPECT_TRUE(choice->proven()) << name << " in " << mib << " MiB on " << machine;
        const auto walker = question.walker();
        EXPECT_TRUE(walker.fits(choice->placement));
        EXPECT_EQ(walker.objective_ps(choice->placement), choice->time_ps);
      }
    }
  }
}

/// A sample of bench/placement_grid: layers of four kinds on machines where moving a unit gains no more than
/// its crossings cost.
TEST(Optimum, IsProvenForOneToFourSequencesWhereDevicesReadEquallyFast) {
  for (const auto* machine : {"t4+ddr5-4800-8ch", "l4+ddr5-4800-8ch", "rtx4070+ddr5-4800-12ch"}) {
    for (const std::uint32_t sequences : {1, 2, 4}) {
      for (const std::uint64_t gib : {7, 9, 12}) {
        Question question{planner_test::catalogue_subject("gemma3-27b-q4_k_m"),
                          {},
                          {},
                          builtin_machine(machine),
                          Device::cuda0};
        question.budget.vram_bytes = gib << 30U;
        question.workload.expected_context = 2048;
        question.workload.sequences = sequences;
        question.workload.optimise = Optimise::throughput;
        const auto choice = question.answer();
        ASSERT_TRUE(choice);
        EXPECT_TRUE(choice->proven()) << sequences << " sequences in " << gib << " GiB on " << machine;
        EXPECT_EQ(question.walker().objective_ps(choice->placement), choice->time_ps);
      }
    }
  }
}

TEST(Optimum, SaysHowFarFromTheBestAPlacementMayBeWhereTheSearchIsCutShort) {
  for (const auto objective : {Optimise::context, Optimise::throughput}) {
    Question question{planner_test::catalogue_subject("gemma3-27b-q4_k_m"),
                      {},
                      {},
                      builtin_machine("default"),
                      Device::cuda0};
    question.budget.vram_bytes = std::uint64_t{13} << 30U;
    question.workload.expected_context = 2048;
    question.workload.sequences = 2;
    question.workload.optimise = objective;
    SearchLimits limits;
    limits.most_labels = 1;
    limits.most_counts = 0;
    const auto cut = question.answer(limits);
    const auto best = question.answer();
    ASSERT_TRUE(cut && best && best->proven());
    EXPECT_FALSE(cut->proven());
    EXPECT_LE(cut->bound_ps, best->time_ps);
    EXPECT_LE(best->time_ps, cut->time_ps);
    EXPECT_TRUE(question.walker().fits(cut->placement));
    EXPECT_EQ(question.walker().objective_ps(cut->placement), cut->time_ps);
  }
}

TEST(Optimum, EqualsBruteForceOnModelsOfUpToFiveLayers) {
  std::mt19937 random(52);
  for (int round = 0; round < 200; ++round) {
    expect_optimal(random_question(random, 5), {}, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Optimum, EqualsBruteForceWithTheHeadOnEitherDevice) {
  std::mt19937 random(53);
  for (int round = 0; round < 400; ++round) {
    const auto question = random_question(random, 3);
    expect_optimal(question, {round % 2 == 0 ? Device::cpu : question.gpu}, round);
    if (HasFatalFailure()) return;
  }
}

TEST(Optimum, TheRoomiestPlacementFitsWhereAnyDoesAndElseNeedsTheLeastRam) {
  std::mt19937 random(54);
  int misfits = 0;
  for (int round = 0; round < 4500; ++round) {
    const auto question = round % 3 == 0 ? random_odd_question(random) : random_question(random, 3);
    const auto walker = question.walker();
    std::uint64_t least_ram = ~std::uint64_t{0};
    for (std::uint32_t bits = 0; bits < 1U << (2 * question.layers() + 1); ++bits) {
      const auto some = numbered(bits, question.layers(), question.gpu);
      if (!walker.can_run(some)) continue;
      const auto bytes = walker.walk(some, 1, 1, 1);
      if (bytes.vram_bytes <= question.budget.vram_bytes) least_ram = std::min(least_ram, bytes.ram_bytes);
    }
    const auto placement =
        roomiest(question.subject.input, question.budget, question.workload, question.machine, question.gpu);
    const auto bytes = walker.walk(placement, 1, 1, 1);
    ASSERT_TRUE(walker.can_run(placement)) << "round " << round;
    ASSERT_LE(bytes.vram_bytes, question.budget.vram_bytes) << "round " << round;
    ASSERT_EQ(
        some_fits(question.subject.input, question.budget, question.workload, question.machine, question.gpu),
        least_ram <= question.budget.ram_bytes)
        << "round " << round;
    if (least_ram <= question.budget.ram_bytes) {
      ASSERT_LE(bytes.ram_bytes, question.budget.ram_bytes) << "round " << round;
      continue;
    }
    ++misfits;
    ASSERT_EQ(bytes.ram_bytes, least_ram) << "round " << round;
  }
  EXPECT_GT(misfits, 20);
}

/// Units in the order in which a rule of thumb fills the GPU, until one does not fit (or, where `skips`, also
/// those after it that do).
struct Rule {
  std::vector<std::vector<UnitRef>> groups;  ///< moved together
  bool skips = false;
  std::uint64_t margin_bytes = 0;  ///< left free
};

/// What peers do: whole layers from the last or the first one, the head first or last, attention halves
/// first, FFN halves first; in each case stopping at the first that does not fit, or skipping it; with no
/// margin or one of a GiB.
std::vector<Rule> rules_of_thumb(std::size_t layers) {
  std::vector<std::vector<UnitRef>> whole;
  std::vector<std::vector<UnitRef>> attention;
  std::vector<std::vector<UnitRef>> ffn;
  for (auto i = static_cast<std::uint32_t>(layers); i-- > 0;) {
    whole.push_back({{UnitKind::attention, i}, {UnitKind::ffn, i}});
    attention.push_back({{UnitKind::attention, i}});
    ffn.push_back({{UnitKind::ffn, i}});
  }
  const auto joined = [](auto first, const auto& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  };
  auto forward = whole;
  std::ranges::reverse(forward);
  const std::vector<std::vector<UnitRef>> head{{{UnitKind::head, 0}}};
  std::vector<Rule> rules;
  for (const auto& order : {whole, forward, joined(attention, ffn), joined(ffn, attention)}) {
    for (const auto& groups : {joined(head, order), joined(order, head)}) {
      for (const bool skips : {false, true}) {
        for (const std::uint64_t margin_bytes : {0ULL, 1ULL << 30}) {
          rules.push_back({groups, skips, margin_bytes});
        }
      }
    }
  }
  return rules;
}

Placement filled_by(const Rule& rule, const Question& question, const SlowWalk& walker) {
  auto placement = Placement::all_on(Device::cpu, question.layers());
  for (const auto& group : rule.groups) {
    auto grown = placement;
    for (const auto unit : group) grown.move(unit, question.gpu);
    const auto bytes = walker.walk(grown, 1, 1, 1);
    if (bytes.vram_bytes + rule.margin_bytes <= question.budget.vram_bytes) {
      placement = grown;
    } else if (!rule.skips) {
      break;
    }
  }
  return placement;
}

TEST(Optimum, IsNeverWorseThanARuleOfThumb) {
  int better = 0;
  for (const auto* name : {"gemma3-12b-qat-q4_0", "gemma3-27b-qat-q4_0", "gemma3-27b-q4_k_m",
                           "gemma4-12b-q8_0", "gemma4-31b-q4_k_m"}) {
    for (const auto* machine : {"default", "rtx3060-12gb-ddr4", "rtx4090+ddr5-6400"}) {
      for (const std::uint64_t gib : {4, 8, 12, 16}) {
        Question question{
            planner_test::catalogue_subject(name), {}, {}, builtin_machine(machine), Device::cuda0};
        question.budget.vram_bytes = gib << 30U;
        question.workload.expected_context = 4096;
        question.workload.optimise = kObjectives[gib / 4 - 1];
        const auto choice = question.answer();
        ASSERT_TRUE(choice);
        ASSERT_TRUE(choice->proven());
        const auto walker = question.walker();
        ASSERT_TRUE(walker.fits(choice->placement));
        ASSERT_EQ(walker.objective_ps(choice->placement), choice->time_ps);
        for (const auto& rule : rules_of_thumb(question.layers())) {
          const auto placement = filled_by(rule, question, walker);
          const auto time_ps = walker.objective_ps(placement);
          ASSERT_LE(choice->time_ps, time_ps) << name << " on " << machine << " in " << gib << " GiB";
          if (choice->time_ps < time_ps) ++better;
        }
      }
    }
  }
  EXPECT_GT(better, 1000);
}

TEST(Optimum, MoreVramIsNeverSlower) {
  std::mt19937 random(55);
  for (int round = 0; round < 150; ++round) {
    auto question = random_question(random, 9);
    question.budget.ram_bytes = Budget{}.ram_bytes;
    auto before_ps = ~std::uint64_t{0};
    for (int step = 0; step < 12; ++step) {
      const auto time_ps = question.answer()->time_ps;
      ASSERT_LE(time_ps, before_ps) << "round " << round;
      before_ps = time_ps;
      question.budget.vram_bytes += pick(random, 1, 40'000);
    }
  }
}

TEST(Optimum, ALongerContextNeverTakesFewerBytes) {
  std::mt19937 random(56);
  for (int round = 0; round < 150; ++round) {
    auto question = random_question(random, 9);
    const auto placement = planner_test::random_placement(random, question.layers(), question.gpu);
    std::uint64_t vram = 0;
    std::uint64_t ram = 0;
    for (question.workload.max_seq_len = 1; question.workload.max_seq_len < 2000;
         question.workload.max_seq_len += pick(random, 1, 300)) {
      const auto bytes =
          footprint(question.subject.input, question.budget, question.workload, question.machine, placement);
      ASSERT_GE(bytes.vram_bytes, vram);
      ASSERT_GE(bytes.ram_bytes, ram);
      vram = bytes.vram_bytes;
      ram = bytes.ram_bytes;
    }
  }
}

}  // namespace
}  // namespace tandem::planner
