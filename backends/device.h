#pragma once

// The interface between placement and arithmetic.  C++17, no vendor types, no other room: all that a backend
// knows of the world is here, as plain views of memory that somebody else owns.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace tandem::device {

/// Element types of weights, numbered as in GGUF.
enum class BlockType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q2_k = 10,
  q3_k = 11,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  iq4_nl = 20,
  iq4_xs = 23,
  bf16 = 30,
  mxfp4 = 39
};

/// Whether weights of this type multiply fp32 activations; all others multiply quantised rows.
constexpr bool multiplies_floats(BlockType type) noexcept {
  return type == BlockType::f32 || type == BlockType::f16 || type == BlockType::bf16;
}

/// Element type of the KV cache.  q8_0 is the GGUF block: 32 elements in 34 bytes.  K and V are rounded to it
/// before anyone attends to them; the query, scaled, is rounded to fp16, unless the type is f32.
enum class KvType : std::uint32_t { f32 = 0, f16 = 1, q8_0 = 8 };

/// What is cached for a token: K and V; or the one normalised vector both come from (model-spec 2.5), without
/// or with the rotated part of K beside it.
enum class KvLayout : std::uint32_t { separate, vector, vector_rotated };

/// How a weight matrix lies in host memory: row after row as in GGUF, or as a Repacker puts it for the CPU.
enum class WeightLayout : std::uint32_t { rows, planes, panels };

/// A weight matrix of GGUF's block types: `out` rows of `in` elements, y[o] = sum over i of W[o][i] * x[i].
struct Matrix {
  const void* data = nullptr;  ///< null = absent
  BlockType type = BlockType::f32;
  std::uint32_t in = 0;
  std::uint32_t out = 0;
  WeightLayout layout = WeightLayout::rows;
};

/// Writes `bytes` bytes of something, from its byte `at` on, to `to`; throws if it cannot.
using ReadBytes = std::function<void(std::uint64_t at, std::byte* to, std::uint64_t bytes)>;

/// Puts matrices into a layout that the CPU's kernels read faster than rows.
class Repacker {
 public:
  virtual ~Repacker() = default;

  [[nodiscard]] virtual WeightLayout layout() const noexcept = 0;

  /// Whether matrices of this type and shape have that layout.  They take as many bytes as in the file.
  [[nodiscard]] virtual bool repacks(BlockType type, std::uint32_t in, std::uint32_t out) const noexcept = 0;

  /// Ranges of rows that are repacked begin at multiples of it, and end there or with the matrix.
  [[nodiscard]] virtual std::uint32_t row_step() const noexcept = 0;

  /// Repacks `rows` rows of a matrix from `first_row` on, which are all that `part.data` holds, to where the
  /// whole matrix lies: the same bytes of it as these rows are in the file.  `part.out` is of the whole
  /// matrix.  Several threads may call it at once.
  virtual void repack_rows(std::byte* to, const Matrix& part, std::uint32_t first_row,
                           std::uint32_t rows) const noexcept = 0;
};

/// One layer's KV on one device, for all sequences.  A row is what one token caches: for KvLayout::separate
/// all K heads then all V heads, [2][kv_heads][head_dim]; for vector [kv_heads][head_dim]. Sliding layer:
/// sequence slot s, position p is row s * cells + p % cells. Global layer: row pages[p / page_tok] * page_tok
/// + p % page_tok, `pages` from the sequence's SequenceRows.
struct KvCache {
  std::byte* rows = nullptr;
  std::uint64_t row_bytes = 0;
  KvType type = KvType::f16;
  KvLayout layout = KvLayout::separate;
  std::uint32_t cells = 0;       ///< ring cells a sequence; 0 on global layers
  std::uint32_t page_tok = 0;    ///< tokens a page; 0 on sliding layers
  std::byte* drafts = nullptr;   ///< (slots, draft_rows, row_bytes) rows of drafts that nobody accepted yet
  std::uint32_t draft_rows = 0;  ///< the most that a sequence has
};

/// A layer's attention half: x += rms(Wo attend(rms(x))) (model-spec 2.2, 2.3 steps 1 to 8).
struct AttentionHalf {
  const float* norm = nullptr;       ///< (width)
  const float* post_norm = nullptr;  ///< (width)
  const float* q_norm = nullptr;     ///< (head_dim)
  const float* k_norm = nullptr;     ///< (head_dim)
  Matrix q, k, v, out;               ///< v absent: V is the normalised K projection
  const double* inv_freq = nullptr;  ///< (head_dim/2) radians a position; 0 = pair not rotated
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  std::uint32_t head_dim = 0;
  std::uint32_t window = 0;  ///< 0 = global
  float attention_scale = 1.0f;
  bool v_norm = false;
  KvCache kv;
};

/// A layer's FFN half: x = (x + rms(Wdown(gelu(Wgate f) * Wup f))) * output_scale, f = rms(x) (steps 8 to
/// 10).
struct FfnHalf {
  const float* norm = nullptr;       ///< (width)
  const float* post_norm = nullptr;  ///< (width)
  Matrix gate, up, down;
  float output_scale = 1.0f;
};

/// x = row of the table * scale.
struct Embedding {
  Matrix table;  ///< [width, vocab], gathered by row
  float scale = 1.0f;
};

/// logits = softcap(W rms(x)).
struct Head {
  const float* norm = nullptr;  ///< (width)
  Matrix out;                   ///< [width, vocab]
  float softcap = 0.0f;         ///< 0 = none
};

enum class UnitKind : std::uint32_t { attention, ffn };

/// One unit of a stage; the half that `kind` names is set.
struct Unit {
  UnitKind kind = UnitKind::attention;
  std::uint32_t layer = 0;
  bool streamed = false;  ///< an FFN half of an accelerator's stage whose weights stay on the host: they pass
                          ///< through StreamBuffers whenever the stage steps
  AttentionHalf attention;
  FfnHalf ffn;
};

/// Working memory of a stage, carved from the plan's arenas; M = micro-batch rows, or fewer where its units
/// never get as many.  Sizes are the planner's (planner/activations.h) and a backend uses nothing else that
/// grows with the model or the batch.
struct Scratch {
  float* normed = nullptr;         ///< (M, width)
  float* projected = nullptr;      ///< (M, width) output of Wo and Wdown
  float* q = nullptr;              ///< (M, max heads * head_dim)
  float* k = nullptr;              ///< (M, max kv_heads * head_dim)
  float* v = nullptr;              ///< (M, max kv_heads * head_dim)
  float* attended = nullptr;       ///< (M, max heads * head_dim)
  float* gate = nullptr;           ///< (M, max ffn_width)
  float* up = nullptr;             ///< (M, max ffn_width)
  std::byte* quantised = nullptr;  ///< (M, max row elements / 32 * 40 bytes) activations as integers
  std::byte* kv_staging =
      nullptr;  ///< (M, largest KV row) this micro-batch's K and V of the layer being computed
};

/// Consecutive rows of a micro-batch that belong to one sequence, at consecutive positions.  The last of them
/// may be drafts, tokens that somebody guessed: rows before them are committed, while their K and V wait
/// outside the cache until the sequence's next step says how many were right.  Those are committed then,
/// before anything else, and the others are forgotten: a guess never takes a cell of a ring.
struct SequenceRows {
  std::uint32_t slot = 0;
  std::uint32_t first_row = 0;
  std::uint32_t rows = 0;
  std::uint64_t first_position = 0;
  std::uint64_t first_key = 0;           ///< oldest position that exists; earlier ones are never attended
  const std::uint32_t* pages = nullptr;  ///< page table of the sequence's global layers
  std::uint32_t draft_rows = 0;          ///< fewer than `rows`, and at most KvCache::draft_rows
  std::uint32_t accepted_rows = 0;  ///< drafts of its last step that were right: the first ones, which end
                                    ///< before first_position
};

/// Rows of several sequences travelling the stages together.
struct MicroBatch {
  const SequenceRows* sequences = nullptr;
  std::uint32_t n_sequences = 0;
  std::uint32_t rows = 0;
};

/// What a stage needs to know of the model as a whole.
struct StageShape {
  std::uint32_t width = 0;
  float norm_eps = 1e-6f;
  std::uint32_t max_rows = 0;  ///< M
};

/// A run of units on one device, executed without leaving it.
class Stage {
 public:
  virtual ~Stage() = default;

  /// Commits drafts that were accepted, runs the units in order over `x` (batch.rows, width) on the stage's
  /// device, changed in place, and commits the rows' K and V or, of drafts, lays them aside.  On an
  /// accelerator it may return before that is done.  Throws std::runtime_error if the device fails; a CPU
  /// does not.
  virtual void step(const MicroBatch& batch, float* x) = 0;

  /// Records decode steps over `x` of up to `rows` rows, none of whose sequences has more than `context_tok`
  /// tokens, as far as the device's graph limit goes, and no other ones later.  Not while a step is under
  /// way. Throws as step; a CPU records nothing.
  virtual void record(float* x, std::uint32_t rows, std::uint64_t context_tok) {
    static_cast<void>(x), static_cast<void>(rows), static_cast<void>(context_tok);
  }
};

/// Embedding and head, on whichever device has them.
class HeadStage {
 public:
  virtual ~HeadStage() = default;

  /// x[r] = embedding row tokens[r] * embedding_scale.  tokens are in range.  `x` is on the device; as
  /// Stage::step.
  virtual void embed(const std::int32_t* tokens, std::uint32_t rows, float* x) = 0;

  /// logits (n, vocab) of the `n` rows of `x` that `row_indices` names; both on the device; as Stage::step.
  virtual void logits(const float* x, const std::uint32_t* row_indices, std::uint32_t n, float* logits) = 0;
};

/// Where an accelerator keeps what changes with every micro-batch, once on the device and once in pinned host
/// memory; sizes are the planner's (planner/activations.h).
struct StepBuffers {
  std::byte* on_device = nullptr;
  std::byte* pinned = nullptr;
  std::uint64_t bytes = 0;
  std::uint32_t embedded_rows =
      0;                         ///< the most that are embedded at once; 0 where the embedding is elsewhere
  std::uint32_t logit_rows = 0;  ///< the most whose logits are asked for at once; 0 where the head is
};

/// What weights that stay on the host pass through when an accelerator computes with them: while one buffer
/// on the device is computed with, the other one is filled.
struct StreamBuffers {
  std::byte* on_device[2] = {};
  std::uint64_t bytes = 0;  ///< of each: a matrix, to a multiple of 64 bytes, and a norm of (width) floats
  std::byte* pinned = nullptr;  ///< on the way; may be the load buffer, once nothing is loaded any more
  std::uint64_t pinned_bytes = 0;
};

/// The most candidates that a row of logits is reduced to.
constexpr std::uint32_t kMostCandidates = 256;

/// A change of one logit: `added` to it, then divided by `penalty` if positive, else multiplied with it, then
/// less `subtracted`; or forbidden, which is -inf.
struct TokenEdit {
  std::uint32_t row = 0;
  std::uint32_t token = 0;
  float added = 0.0f;
  float penalty = 1.0f;
  float subtracted = 0.0f;
  std::uint32_t forbidden = 0;  ///< 1 = yes
};

struct Candidate {
  std::int32_t token = -1;  ///< -1: there are fewer
  float logit = 0.0f;
};

/// Rows of logits that a sampler wants the best of.  All memory is the device's.
struct LogitReduction {
  float* logits = nullptr;  ///< (rows, stride); scratch, changed
  std::uint32_t rows = 0;
  std::uint32_t stride = 0;
  std::uint32_t vocab = 0;           ///< tokens that can be chosen; the others of a row are ignored
  const TokenEdit* edits = nullptr;  ///< before anything is chosen; a token of a row at most once
  std::uint32_t n_edits = 0;
  Candidate* candidates = nullptr;    ///< (rows, kMostCandidates), larger logits first, then smaller tokens
  std::uint32_t* unusable = nullptr;  ///< (rows) becomes how many logits were infinite or no number, before
                                      ///< edits; null: not wanted
};

/// What the driver says of a device's memory.
struct MemoryInfo {
  std::uint64_t free_bytes = 0;
  std::uint64_t total_bytes = 0;
  std::uint64_t driver_bytes = 0;  ///< that it took for this process at the start: context, kernels,
                                   ///< libraries; 0 if it does not tell
};

/// Decode steps that an accelerator holds as a whole.
struct RecordedSteps {
  std::size_t count = 0;
  std::uint64_t refused_bytes = 0;  ///< of the first one that did not fit; 0: there was none
};

/// A device beside the CPU: its memory, its stages, and the way there and back.  Calls come from one thread,
/// but for uploads, which may come from several at once.  All of them throw std::runtime_error if the device
/// fails.
class Accelerator {
 public:
  virtual ~Accelerator() = default;

  [[nodiscard]] virtual MemoryInfo memory() const = 0;

  /// Memory at a multiple of 256 bytes that lives as long as the accelerator, on the device or pinned on the
  /// host.
  virtual std::byte* allocate(std::uint64_t bytes) = 0;
  virtual std::byte* allocate_pinned(std::uint64_t bytes) = 0;

  /// Pinned memory that uploads go through; before the first one.  Of 0 bytes: there are no more.
  virtual void set_load_buffer(std::byte* pinned, std::uint64_t bytes) = 0;

  /// Copies host memory to the device.  `from` may change when it returns; what begins later comes after it,
  /// and after `upload_rows`.
  virtual void upload(std::byte* to, const void* from, std::uint64_t bytes) = 0;

  /// Copies `rows` rows of a matrix from `first_row` on to where the whole matrix lies; `read` reads them, as
  /// in the file, from the first of them on, and `shape.data` is not used.  A matrix takes as many bytes as
  /// in the file, and how they lie is the device's own business.  Several threads may upload at once, each
  /// calling its own `read`; throws what that throws.
  virtual void upload_rows(std::byte* to, const Matrix& shape, std::uint32_t first_row, std::uint32_t rows,
                           const ReadBytes& read) = 0;

  /// Where weights of streamed units pass through; before the first stage that has some.
  virtual void set_stream_buffers(const StreamBuffers& buffers) = 0;

  /// As cpu::make_stage, for what was uploaded, and streamed units.  Throws std::invalid_argument if a unit
  /// is not what this device can run.
  virtual std::unique_ptr<Stage> make_stage(const Unit* units, std::size_t n_units, const StageShape& shape,
                                            const Scratch& scratch) = 0;
  virtual std::unique_ptr<HeadStage> make_head_stage(const Embedding& embedding, const Head& head,
                                                     const StageShape& shape, const Scratch& scratch) = 0;

  /// Where `begin` may put things; before the first stage is made.
  virtual void set_step_buffers(const StepBuffers& buffers) = 0;

  /// Lets the device record its stages' decode steps, to start each as a whole, as far as the records fit
  /// into `bytes` of device memory; 0, as at first: none.
  virtual void set_graph_limit(std::uint64_t bytes) = 0;
  /// Device memory that the records take.
  [[nodiscard]] virtual std::uint64_t graph_bytes() const = 0;
  [[nodiscard]] virtual RecordedSteps recorded_steps() const = 0;

  /// Tells the device of the micro-batch that its stages run next.
  virtual void begin(const MicroBatch& batch) = 0;

  /// Reduces rows of logits to candidates: without NaN, as many as there are or kMostCandidates.  As
  /// Stage::step.
  virtual void reduce(const LogitReduction& reduction) = 0;

  /// Rows from pinned memory to the device; they must not change before `receive` or `wait`.
  virtual void send(float* to, const float* from_pinned, std::uint64_t bytes) = 0;

  /// Rows from the device to pinned memory, after all work so far; they are there when it returns.
  virtual void receive(float* to_pinned, const float* from, std::uint64_t bytes) = 0;

  /// Returns when all work so far is done.
  virtual void wait() = 0;
};

}  // namespace tandem::device
