#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daemon/scheduler/page_pool.h"

namespace tandem::scheduler {

using RequestId = std::uint64_t;

/// What the plan and the config allow.
struct Limits {
  std::uint32_t sequences = 4;      ///< slots
  std::uint32_t micro_batch = 512;  ///< rows
  std::uint32_t logit_rows = 8;     ///< rows whose logits one step may ask for
  std::uint64_t max_seq_len = 8192;
  std::uint32_t page_tok = 64;
  std::uint64_t pages = 512;  ///< in the pool of global KV
  std::uint32_t max_queued = 512;
  std::uint32_t steps = 1;        ///< that may be on their way at once: more than 1 where stages overlap
  std::uint32_t stream_rows = 0;  ///< prompts' work of at least so many rows goes the streamed way; 0 = none
};

struct Request {
  RequestId id = 0;
  std::uint64_t prompt_tok = 0;    ///< 1 .. max_seq_len
  std::uint64_t max_new_tok = 16;  ///< 0 only scores the prompt
  bool score_prompt = false;       ///< logits of every prompt row are wanted
  bool held = false;               ///< from when it gets a slot
};

/// What the step computes for one sequence: `rows` tokens at `first_position`, the prompt's or the newest
/// one.
struct Work {
  RequestId id = 0;
  std::uint32_t slot = 0;
  std::uint64_t first_position = 0;
  std::uint32_t rows = 0;
  std::uint32_t logit_rows = 0;  ///< logits of the last this many rows are wanted (0: the prompt goes on)

  bool operator==(const Work&) const = default;
};

/// One micro-batch through all stages.
struct Step {
  std::vector<Work> work;
  bool streamed = false;  ///< all of it goes the way on which weights are streamed to the GPU

  [[nodiscard]] bool empty() const noexcept { return work.empty(); }
  bool operator==(const Step&) const = default;
};

enum class State { queued, prompt, decode, paused };
std::string_view to_string(State) noexcept;

/// Whether a sequence can go on after a token was chosen for it.
enum class Verdict {
  running,
  length,  ///< max_new_tok reached, or the context is full
};

struct SequenceView {
  RequestId id = 0;
  State state = State::queued;
  std::uint64_t prompt_tok = 0;
  std::uint64_t prompt_done_tok = 0;
  std::uint64_t new_tok = 0;
};

/// Decides what runs next.  A deterministic state machine: no clock, no threads, no device; the same events
/// give the same decisions.  Invariants:
///  - a slot and a page have at most one owner, and a sequence has all its pages before its first row;
///  - requests start in the order they came;
///  - decode rows come before prompt rows in every step, and a step with a prompt in it always advances one;
///  - where several steps may be on their way at once, the sequences that decode are shared out among them,
///    and a prompt goes on with its next chunk before the last one is back; a newest token is alone;
///  - a step never exceeds `micro_batch` rows, `logit_rows` logits, or the rows of planner/batch_rows.h;
///  - work of a prompt goes the streamed way by its own rows, whoever else is there: never in a step with
///    work that does not.  Where there is work for both ways they take turns;
///  - a sequence's steps that are on their way all go the same way, so that none overtakes the one before;
///  - a prompt is cut at multiples of `chunk_tok()` (or of `score_chunk_tok()`), never by who else is in the
///    step.
class Scheduler {
 public:
  /// Throws std::invalid_argument unless sequences >= 1, micro_batch >= sequences, logit_rows >= sequences,
  /// max_seq_len >= 1, page_tok >= 1 and the pool holds at least one whole sequence.
  explicit Scheduler(const Limits& limits);

  /// Queues a request.  False if the queue is full.  Preconditions, checked by the caller: the id is new,
  /// 1 <= prompt_tok <= max_seq_len.
  bool submit(const Request& request);

  /// Forgets a request wherever it is.  While it is part of an unfinished step its slot and pages stay taken
  /// until `completed`.  False if the id is unknown or already cancelled.
  bool cancel(RequestId id);

  /// A paused sequence keeps its slot and gets no work: its client does not read.  Unknown and queued ids: no
  /// effect.  What is on its way goes on.
  void pause(RequestId id);
  void resume(RequestId id);

  /// The same, where it is not known yet what may come next.
  void hold(RequestId id);
  void let_go(RequestId id);

  /// Makes `step` the next micro-batch; empty if there is nothing to do now.
  void next(Step& step);
  Step next();
  /// Those that got a slot by it, in their order.
  [[nodiscard]] const std::vector<RequestId>& admitted() const noexcept { return admitted_; }

  /// `step` has run, the oldest of those on their way: prompts advance; sequences whose prompt is done wait
  /// for `sampled` or `finish` (the latter also where max_new_tok is 0). Cancelled ones are gone afterwards:
  /// see `holds`.
  void completed(const Step& step);

  /// True while `id` has a slot and is not cancelled.
  [[nodiscard]] bool holds(RequestId id) const noexcept;

  /// A token was chosen for `id`, which holds a slot: it will be the next row.  Says whether the sequence can
  /// go on; at `length` the caller calls `finish`.
  Verdict sampled(RequestId id);

  /// The request is done (stop token, stop string, length, error): its slot and pages are free again, at the
  /// latest once all its steps are completed.
  void finish(RequestId id);

  /// Of a sequence that holds one.
  [[nodiscard]] std::uint32_t slot(RequestId id) const;
  /// Page table of a sequence that holds a slot, for device::SequenceRows.  Stays in place while the slot is
  /// held.
  [[nodiscard]] const std::vector<std::uint32_t>& pages(RequestId id) const;

  [[nodiscard]] std::vector<SequenceView> sequences()
      const;  ///< running ones by slot, then the queue in order
  [[nodiscard]] std::size_t queued() const noexcept { return queue_.size(); }
  [[nodiscard]] std::size_t running() const noexcept { return running_.size(); }
  [[nodiscard]] std::uint64_t free_pages() const noexcept { return pool_.free_pages(); }
  [[nodiscard]] bool idle() const noexcept { return queue_.empty() && running_.empty(); }

  /// Prompt rows a step takes at most: what is left beside every other sequence's decode row, in whole 32s if
  /// it can.
  [[nodiscard]] std::uint32_t chunk_tok() const noexcept;
  /// The same where every prompt row's logits are wanted.
  [[nodiscard]] std::uint32_t score_chunk_tok() const noexcept;

 private:
  struct Sequence {
    Request request;
    std::uint32_t slot = 0;
    std::uint64_t issued_tok = 0;     ///< rows given to steps
    std::uint64_t committed_tok = 0;  ///< rows in the cache, of steps that have completed
    std::uint64_t new_tok = 0;        ///< sampled so far
    std::uint32_t on_the_way = 0;     ///< steps that have not completed
    bool streamed = false;            ///< the way of those
    bool awaits_sample = false;
    bool paused = false;
    bool held = false;
    bool cancelled = false;  ///< or finished, with steps on their way
    std::vector<std::uint32_t> pages;

    [[nodiscard]] bool in_prompt() const noexcept { return committed_tok < request.prompt_tok; }
    [[nodiscard]] bool prompt_issued() const noexcept { return issued_tok >= request.prompt_tok; }
    [[nodiscard]] bool goes_on() const noexcept { return !paused && !held && !cancelled; }
  };

  /// What may still be added to a step.
  struct Room {
    std::uint32_t rows;
    std::uint32_t logits;
  };

  void admit();
  void gather(bool streamed, Step& step);
  [[nodiscard]] bool goes_streamed(const Work& work) const noexcept;
  void release(RequestId id);
  [[nodiscard]] std::uint64_t pages_needed(const Request& request) const noexcept;
  [[nodiscard]] std::uint32_t decode_share() const noexcept;
  void add_decode(Step& step, Room& room);
  void add_prompts(Step& step, Room& room);
  [[nodiscard]] Work prompt_work(RequestId id, const Sequence& sequence) const noexcept;
  void add(Step& step, Room& room, const Work& work);

  Limits limits_;
  PagePool pool_;
  std::deque<Request> queue_;
  std::map<RequestId, Sequence> running_;
  std::vector<std::optional<RequestId>> slots_;
  std::vector<RequestId> admitted_;  ///< by the last `next`
  /// Where the next step starts looking, so that no slot is favoured; [1] is of streamed ones.
  std::array<std::uint32_t, 2> first_slot_{};
  bool last_streamed_ = false;  ///< the last step
};

}  // namespace tandem::scheduler
