#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "model/hyperparameters.h"

namespace tandem::planner {

inline constexpr std::string_view kPlanSchema = "tandem.plan/1";

/// Pieces of an arena start at multiples of this.
inline constexpr std::uint64_t kBufferAlignmentBytes = 64;

/// Tokens in a page of global KV.
inline constexpr std::uint32_t kPageTok = 64;

/// Where a unit or an arena lives.
enum class Device { cpu, cuda0, emulated0 };

/// What the bytes of an arena are for; there is no `other` (design.md, words).
enum class Purpose {
  weights,
  head,
  kv,
  kv_staging,
  activations,
  logits,
  transfer,
  checkpoints,
  graphs,
  driver,
  reserve
};

enum class KvType { f32, f16, q8_0 };
enum class KvLayout { separate, vector, vector_rotated };

/// What a placement is chosen for (planner/optimum.h).
enum class Optimise {
  decode,      ///< the next token of one sequence, at the expected context
  prefill,     ///< a chunk halfway through a prompt of the expected context
  request,     ///< a token of an answer and its share of the prompt
  throughput,  ///< a token of all sequences, at the expected context
  context      ///< the next token of one sequence, with the whole context in use
};

/// How matrices that the CPU multiplies with lie in memory: repacked into a layout that is read faster, in
/// memory of their own, or used in place as they are in the mapped file.
enum class CpuWeights { repacked, mapped };

/// What an F32, F16 or BF16 head is stored as when it is loaded.
enum class HeadType { keep, q8_0, q6_k };
enum class UnitKind { attention, ffn, head };

/// Bytes allowed per device in total, driver line and reserve included.
struct Budget {
  std::uint64_t vram_bytes = 12ULL << 30;
  std::uint64_t ram_bytes = 64ULL << 30;
  std::uint64_t vram_reserve_bytes = 0;  ///< left free on purpose
  std::uint64_t ram_reserve_bytes = 0;

  bool operator==(const Budget&) const = default;
};

/// What the machine is asked to carry.
struct Workload {
  std::uint64_t max_seq_len = 8192;  ///< tokens a sequence can hold ("context")
  std::uint32_t sequences = 4;
  std::uint32_t micro_batch = 512;  ///< rows
  std::uint32_t draft_rows = 0;     ///< a sequence
  KvType kv_type = KvType::f16;
  std::uint64_t expected_context = 0;  ///< at which context speed counts; 0 = a quarter of max_seq_len
  Optimise optimise = Optimise::decode;
  HeadType head_type = HeadType::keep;

  /// What can be repacked is, but for halves whose weights are streamed (planner/repacking.h).
  CpuWeights cpu_weights = CpuWeights::repacked;

  /// Prompt chunks of at least so many rows take the FFN halves that are on the CPU to the GPU: their weights
  /// pass through buffers there (planner/streaming.h).  0 = never; nothing = from where on it pays.
  std::optional<std::uint32_t> stream_rows = std::nullopt;

  bool operator==(const Workload&) const = default;
};

struct LayerPlan {
  std::uint32_t index = 0;
  model::LayerKind kind = model::LayerKind::global;
  std::uint64_t kv_cells = 0;  ///< a sequence
  std::uint64_t kv_bytes = 0;  ///< a sequence
  KvLayout kv_layout = KvLayout::separate;
  std::uint64_t weight_bytes = 0;  ///< both halves
  Device attention_device = Device::cpu;
  Device ffn_device = Device::cpu;
  std::uint32_t ffn_gpu_rows = 0;  ///< of an FFN half that both devices share; 0: all of it is on ffn_device
  Device kv_device = Device::cpu;

  bool operator==(const LayerPlan&) const = default;
};

struct HeadPlan {
  Device device = Device::cpu;
  std::string type;              ///< of the matrix once loaded, "Q6_K"
  std::uint64_t bytes = 0;       ///< the matrix and output_norm, once loaded
  std::string file_type;         ///< of the matrix in the file; another than `type` is quantised at load
  std::uint64_t file_bytes = 0;  ///< of both there

  bool operator==(const HeadPlan&) const = default;
};

/// Who gathers embedding rows.  A tied embedding is read from the head's copy, on the head's device, and adds
/// nothing; one of its own stays in the mapped file and is read by the CPU (a `weights` line there).
struct EmbeddingPlan {
  Device device = Device::cpu;
  std::uint64_t bytes = 0;  ///< beyond the head's

  bool operator==(const EmbeddingPlan&) const = default;
};

struct ArenaPlan {
  Device device = Device::cpu;
  Purpose purpose = Purpose::weights;
  std::uint64_t bytes = 0;

  bool operator==(const ArenaPlan&) const = default;
};

struct UnitRef {
  UnitKind kind = UnitKind::attention;
  std::uint32_t layer = 0;  ///< 0 for the head

  bool operator==(const UnitRef&) const = default;
};

struct StagePlan {
  Device device = Device::cpu;
  std::vector<UnitRef> units;

  bool operator==(const StagePlan&) const = default;
};

/// Global KV comes in pages of `page_tok` tokens from a pool that sequences share.  A page index is valid in
/// every global layer's pool.
struct PagePlan {
  std::uint32_t page_tok = kPageTok;
  std::uint64_t pages = 0;           ///< in the pool: enough for every sequence at full length
  std::uint64_t rounding_bytes = 0;  ///< what the kv arenas hold beyond sequences * sum of kv_bytes: whole
                                     ///< pages, and layers that start at multiples of kBufferAlignmentBytes

  bool operator==(const PagePlan&) const = default;
};

/// Speeds from the machine profile (planner/cost.h, predict).
struct Predicted {
  double decode_tok_per_s = 0;      ///< one sequence alone at the expected context
  double prefill_tok_per_s = 0;     ///< a chunk halfway through a prompt of it
  double throughput_tok_per_s = 0;  ///< all sequences decoding there, together
  double ideal_tok_per_s = 0;       ///< of decode, were there nothing but bytes to read

  bool operator==(const Predicted&) const = default;
};

/// Facts of the model a plan was made for; a daemon refuses a plan whose facts differ from its file's.
struct ModelFacts {
  std::string name;
  std::string family;  ///< "gemma3" or "gemma4"
  std::uint32_t layers = 0;
  std::uint64_t tensors = 0;
  std::uint64_t tensor_bytes = 0;  ///< all layers' weight_bytes + head + embedding + unplaced
  std::uint64_t unplaced_bytes =
      0;  ///< tensors that no unit reads: rope_freqs (becomes a table), vision, audio
  std::uint64_t missing_bytes = 0;   ///< tensor data beyond the end of the file
  std::uint64_t context_length = 0;  ///< tokens the model was trained for

  bool operator==(const ModelFacts&) const = default;
};

/// Placement of every unit, the arenas with every byte, the stages, predicted times and reasons.  The daemon
/// executes exactly this.
struct Plan {
  ModelFacts model;
  Workload workload;   ///< effective
  Workload requested;  ///< as asked for; every difference is a line in `reasons`
  Budget budget;
  std::string machine;  ///< profile name
  bool fits = false;
  std::vector<LayerPlan> layers;
  HeadPlan head;
  EmbeddingPlan embedding;
  PagePlan kv_pages;
  std::uint64_t weights_overhead_bytes = 0;  ///< in the weights arenas beyond tensors: rope tables, alignment
  std::vector<ArenaPlan> arenas;             ///< each (device, purpose) once, no zero lines
  std::uint64_t vram_bytes = 0;
  std::uint64_t ram_bytes = 0;
  std::vector<StagePlan> stages;
  Predicted predicted;
  std::vector<std::string> reasons;
  std::uint64_t vram_short_bytes = 0;  ///< by how much it does not fit; 0 where it does
  std::uint64_t ram_short_bytes = 0;
  std::optional<std::uint64_t> largest_context;  ///< that would fit, when this does not

  [[nodiscard]] std::uint64_t arena_bytes(Device device, Purpose purpose) const noexcept;

  bool operator==(const Plan&) const = default;
};

/// The GPU that some unit of `plan` is on; nothing if all are on the CPU.
std::optional<Device> gpu_of(const Plan& plan) noexcept;

/// Every unit on `device`, in the order it runs.
std::vector<UnitRef> units_on(const Plan& plan, Device device);

/// Names as they stand in plan JSON.
std::string_view to_string(Device) noexcept;
std::string_view to_string(Purpose) noexcept;
std::string_view to_string(KvType) noexcept;
std::string_view to_string(KvLayout) noexcept;
std::string_view to_string(UnitKind) noexcept;
std::string_view to_string(Optimise) noexcept;
std::string_view to_string(HeadType) noexcept;
std::string_view to_string(CpuWeights) noexcept;
std::string_view to_string(model::LayerKind) noexcept;

}  // namespace tandem::planner
