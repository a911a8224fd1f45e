#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/tensor_type.h"

namespace tandem::planner {

/// Rows of a step at which a block type's reading rate is measured.
inline constexpr std::array<std::uint32_t, 4> kMeasuredRows{1, 2, 4, 8};

/// How fast a device works on weights of one element type, where it was measured for that type.
struct TypeRates {
  model::TensorType type = model::TensorType::q4_0;
  std::array<double, 4> read_gb_per_s{};  ///< weights of steps of kMeasuredRows rows, their products included
  double tops = 0;                        ///< steps of many rows

  bool operator==(const TypeRates&) const = default;
};

/// Elements of activations that a CPU's threads get through together beside the arithmetic of matrices, 1e9 a
/// second (planner/row_work.h).  They come from where another thread left
/// them: that is most of the time.  0: unknown, no time of its own.
struct ElementRates {
  double norms_g_per_s = 0;        ///< norms, sum and conversion to integers
  double heads_g_per_s = 0;        ///< heads normed, rotated, rounded and stored
  double heads_begun_g_per_s = 0;  ///< heads of those, whatever their length
  double geglu_g_per_s = 0;        ///< GeGLU and conversion
  double inputs_g_per_s = 0;       ///< inputs of a matrix that every thread loads
  double outputs_g_per_s = 0;      ///< outputs of a matrix stored
  double logits_g_per_s = 0;       ///< logits capped

  bool operator==(const ElementRates&) const = default;
};

/// What a machine can do: rates that are reached, not peaks on a box.  Times in a plan come from these
/// numbers only.  GB and tera are decimal; an operation is a multiply or an add.
struct MachineProfile {
  std::string name;
  std::string description;
  double ram_read_gb_per_s = 0;   ///< all cores reading weights
  double vram_read_gb_per_s = 0;  ///< a kernel reading weights
  double cpu_int8_tops = 0;       ///< all cores, products of quantised weights and activations
  double cpu_float_tops = 0;      ///< all cores, float products: attention, F16 and BF16 weights
  double gpu_int8_tops = 0;
  double gpu_float_tops = 0;  ///< fp16 in, fp32 accumulated
  double pcie_gb_per_s = 0;   ///< pinned memory, one direction
  double gpu_launch_us = 0;   ///< a unit's kernels beyond their work, inside a captured graph
  double cpu_unit_us = 0;     ///< a unit's barriers between operations, and all else that rates do not say
  double crossing_us = 0;     ///< passing rows to the other device: copy set-up and synchronisation
  std::uint64_t driver_bytes = 0;  ///< VRAM a process takes before its first allocation

  // Optional in a profile.  0 of a rate: as the general rate above; 0 of a cost: in the costs above.
  double cpu_attention_gb_per_s = 0;         ///< KV that one row's attention reads; 0: ram_read_gb_per_s
  double cpu_attention_vector_gb_per_s = 0;  ///< where one vector makes K and V; 0: as the one above
  double cpu_cached_attention_gb_per_s = 0;  ///< the same two, where KV is in a cache; 0: as from memory
  double cpu_cached_attention_vector_gb_per_s = 0;
  double cpu_cache_bytes = 0;               ///< largest cache; 0: unknown, everything comes from memory
  double cpu_attention_scores_g_per_s = 0;  ///< scores and weights of keys; 0: in cpu_attention_tops
  double cpu_attention_tops = 0;            ///< attention of many rows; 0: cpu_float_tops
  double cpu_threads = 0;                   ///< of a stage; 0: unknown, attention shares its work out evenly
  ElementRates cpu_elems;
  double gpu_attention_gb_per_s = 0;  ///< 0: vram_read_gb_per_s
  double gpu_attention_tops = 0;      ///< 0: gpu_float_tops
  double cpu_unit_few_rows_us = 0;    ///< what each row but the first, up to 8, adds to cpu_unit_us
  double cpu_unit_many_rows_us = 0;   ///< what each row beyond 8 adds
  double cpu_mapped_slowdown = 0;     ///< times as long that the CPU reads quantised matrices that are not
                                      ///< repacked, which the rates above are for; 0: as long
  double cpu_stage_us = 0;            ///< entering a CPU stage, on top of its units and the crossing
  double gpu_stage_us = 0;            ///< launching a GPU stage's graph
  double stream_rows = 0;  ///< prompt rows from which streaming a CPU unit's weights to the GPU pays;
                           ///< 0: where the cost model says so
  std::vector<TypeRates> cpu_types;  ///< a type that is absent has the general rates
  std::vector<TypeRates> gpu_types;

  bool operator==(const MachineProfile&) const = default;
};

/// Reads profile JSON: `{"schema": "tandem.machine/1", "name", "description", "rates": {NAME: {"value",
/// "source"}}}` with the members above as names, and optionally `"block_types": {"cpu": {"Q4_0":
/// {"read_gb_per_s": [4 numbers], "tops", "source"}}, "gpu": {...}}` and `"measured"`, an object that says
/// how and of what (daemon/calibration/profile_json.h) and counts in no plan.  Throws BadProfile for a
/// missing, unknown, non-finite or absurd number, or one without a source.  `origin` names the text in
/// messages.
MachineProfile parse_machine(std::string_view json, std::string_view origin);

/// True if a profile may say `value` of its rate called `key`.  What is beyond is a wrong unit, or what noise
/// has left of a difference of measured times.
[[nodiscard]] bool is_credible_rate(std::string_view key, double value) noexcept;

/// The same of what it may say of a block type.
[[nodiscard]] bool is_credible(const TypeRates& rates) noexcept;

/// Names of the whole profiles in config/machines, which are built in.
std::vector<std::string_view> machine_names();

/// The built-in profile called `name`, or the machine made of parts that it names (machine_parts.h).  Throws
/// BadProfile with the nearest known name.
MachineProfile builtin_machine(std::string_view name);

}  // namespace tandem::planner
