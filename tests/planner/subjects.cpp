#include "tests/planner/subjects.h"

#include <array>
#include <memory>
#include <span>
#include <utility>

#include "model/catalogue.h"
#include "model/gguf_writer.h"
#include "model/shape.h"
#include "planner/make_plan.h"
#include "planner/placement.h"

namespace tandem::planner_test {
namespace {

Subject subject_of(model::Header header) {
  auto hyper = model::read_hyperparameters(header);
  auto input = planner::model_input(header, hyper);
  return {std::move(header), std::move(hyper), std::move(input)};
}

Subject subject_of(const model::GgufWriter& writer) {
  const auto bytes = std::make_shared<const std::string>(writer.header());
  return subject_of(model::parse_header("made up", std::as_bytes(std::span(*bytes)), bytes));
}

model::TensorType random_type(std::mt19937& random) {
  constexpr std::array kTypes{model::TensorType::f32, model::TensorType::f16, model::TensorType::q4_0,
                              model::TensorType::q5_1, model::TensorType::q8_0};
  return kTypes[pick(random, 0, kTypes.size() - 1)];
}

model::Shape random_shape(std::mt19937& random, std::uint32_t most_layers) {
  const auto number = [&random](std::uint64_t low, std::uint64_t high) {
    return static_cast<std::uint32_t>(pick(random, low, high));
  };
  model::Shape shape;
  shape.name = "random";
  shape.family = number(0, 1) == 0 ? model::Family::gemma3 : model::Family::gemma4;
  shape.layers = number(1, most_layers);
  shape.width = 32 * number(1, 5);
  shape.ffn_width = 32 * number(1, 9);
  shape.kv_heads_sliding = number(1, 3);
  shape.kv_heads_global = shape.family == model::Family::gemma3 ? shape.kv_heads_sliding : number(1, 2);
  shape.heads = 6 * number(1, 2);
  shape.head_dim_sliding = 32 * number(1, 2);
  shape.head_dim_global = shape.family == model::Family::gemma3 ? shape.head_dim_sliding : 64 * number(1, 2);
  shape.window = number(1, 300);
  shape.global_period = shape.family == model::Family::gemma3 ? 6 : number(1, 6);
  shape.context_length = 4096;
  shape.vocab = number(40, 400);
  return shape;
}

}  // namespace

Subject catalogue_subject(const std::string& name) {
  return subject_of(model::catalogue_header(name));
}

planner::Setting default_setting(const std::string& name) {
  const auto subject = catalogue_subject(name);
  return {
      subject.input, {}, planner::default_workload(subject.hyper), planner::builtin_machine("default"), {}};
}

Subject seven_layer_subject() {
  auto entry = model::catalogue_entry("gemma4-12b-qat-q4_0");
  entry.shape.layers = 7;
  model::GgufWriter writer;
  model::write_model(writer, entry.shape, entry.recipe);
  return subject_of(writer);
}

Subject random_subject(std::mt19937& random, std::uint32_t most_layers) {
  const auto shape = random_shape(random, most_layers);
  auto recipe = model::QuantRecipe::uniform(random_type(random));
  recipe.embedding = random_type(random);
  recipe.overrides.emplace_back("ffn_down", random_type(random));
  if (pick(random, 0, 1) == 0) recipe.overrides.emplace_back("blk.0.ffn_up.weight", random_type(random));
  model::GgufWriter writer;
  model::write_model(writer, shape, recipe);
  if (pick(random, 0, 3) == 0) {
    const std::array<std::uint64_t, 2> dims{shape.width, shape.vocab};
    writer.add_tensor("output.weight", random_type(random), dims);
  }
  return subject_of(writer);
}

Subject random_odd_subject(std::mt19937& random, std::uint32_t most_layers) {
  const auto random_float = [&random] {
    constexpr std::array kFloats{model::TensorType::f32, model::TensorType::f16, model::TensorType::bf16};
    return kFloats[pick(random, 0, kFloats.size() - 1)];
  };
  // Of few elements, so that some sizes are multiples of 8 and some are not.
  const auto size = [&random](std::uint64_t unit) {
    return static_cast<std::uint32_t>(unit * pick(random, 1, 12));
  };
  auto shape = random_shape(random, most_layers);
  shape.width = pick(random, 0, 2) == 0 ? size(4) : 8 * size(4);
  shape.ffn_width = pick(random, 0, 1) == 0 ? size(2) : 4 * size(4);
  shape.head_dim_sliding = size(8);
  shape.head_dim_global = shape.family == model::Family::gemma3 ? shape.head_dim_sliding : size(8);
  auto recipe = model::QuantRecipe::uniform(random_float());
  recipe.embedding = random_float();
  recipe.overrides.emplace_back("ffn_down", random_float());
  if (pick(random, 0, 1) == 0) recipe.overrides.emplace_back("blk.0.ffn_up.weight", random_float());
  model::GgufWriter writer;
  model::write_model(writer, shape, recipe);
  if (pick(random, 0, 3) == 0) {
    const std::array<std::uint64_t, 2> dims{shape.width, shape.vocab};
    writer.add_tensor("output.weight", random_float(), dims);
  }
  return subject_of(writer);
}

std::uint64_t pick(std::mt19937& random, std::uint64_t low, std::uint64_t high) {
  return std::uniform_int_distribution<std::uint64_t>(low, high)(random);
}

planner::MachineProfile random_machine(std::mt19937& random) {
  const auto rate = [&random](double unit) { return unit * static_cast<double>(pick(random, 1, 6)); };
  const auto cost = [&random](double unit) {
    return pick(random, 0, 2) == 0 ? 0.0 : unit * static_cast<double>(pick(random, 1, 9));
  };
  planner::MachineProfile machine;
  machine.name = "random";
  machine.ram_read_gb_per_s = rate(1);
  machine.vram_read_gb_per_s = rate(pick(random, 0, 1) == 0 ? 1 : 5);
  machine.cpu_int8_tops = rate(0.001);
  machine.cpu_float_tops = rate(0.001);
  machine.gpu_int8_tops = rate(0.002);
  machine.gpu_float_tops = rate(0.002);
  machine.pcie_gb_per_s = rate(0.5);
  machine.gpu_launch_us = cost(1);
  machine.cpu_unit_us = cost(1);
  machine.cpu_unit_few_rows_us = cost(0.25);
  machine.cpu_unit_many_rows_us = cost(0.125);
  machine.crossing_us = cost(2);
  machine.cpu_stage_us = cost(1);
  machine.gpu_stage_us = cost(1);
  machine.cpu_attention_gb_per_s = cost(0.5);
  machine.gpu_attention_tops = cost(0.001);
  machine.cpu_elems = {cost(0.01), cost(0.01), cost(0.001), cost(0.01), cost(0.01), cost(0.01), cost(0.01)};
  machine.driver_bytes = pick(random, 0, 1) * 12345;
  machine.cpu_threads = pick(random, 0, 1) == 0 ? 0 : static_cast<double>(pick(random, 1, 40));
  machine.cpu_attention_vector_gb_per_s = cost(0.5);
  machine.cpu_attention_scores_g_per_s = cost(0.001);
  machine.cpu_cached_attention_gb_per_s = cost(0.5);
  machine.cpu_cached_attention_vector_gb_per_s = cost(0.5);
  machine.cpu_cache_bytes =
      static_cast<double>(pick(random, 0, 1) * (std::uint64_t{1} << pick(random, 12, 30)));
  if (pick(random, 0, 2) == 0) {
    machine.cpu_types = {{random_type(random), {rate(1), rate(1), rate(1), rate(1)}, rate(0.001)}};
    machine.gpu_types = {{random_type(random), {rate(2), rate(2), rate(2), rate(2)}, rate(0.002)}};
  }
  return machine;
}

planner::Workload random_workload(std::mt19937& random) {
  constexpr std::array kKvTypes{planner::KvType::f32, planner::KvType::f16, planner::KvType::q8_0};
  planner::Workload workload;
  workload.max_seq_len = pick(random, 1, 700);
  workload.sequences = static_cast<std::uint32_t>(pick(random, 1, 5));
  workload.draft_rows = static_cast<std::uint32_t>(pick(random, 0, 3));
  const auto least = workload.sequences * (workload.draft_rows + 1);
  workload.micro_batch = static_cast<std::uint32_t>(pick(random, least, least + 40));
  workload.kv_type = kKvTypes[pick(random, 0, 2)];
  workload.stream_rows =
      static_cast<std::uint32_t>(pick(random, 0, 1) * pick(random, 1, workload.micro_batch));
  return workload;
}

planner::Placement random_placement(std::mt19937& random, std::size_t layers, planner::Device gpu) {
  auto placement = planner::Placement::all_on(planner::Device::cpu, layers);
  for (const auto unit : planner::all_units(layers)) {
    if (pick(random, 0, 1) == 1) placement.move(unit, gpu);
  }
  return placement;
}

}  // namespace tandem::planner_test
