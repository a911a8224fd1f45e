#include "daemon/calibration/cpu_elements.h"

#include <algorithm>
#include <array>
#include <vector>

#include "backends/cpu/kv_rows.h"
#include "backends/cpu/operations.h"
#include "backends/cpu/quantised_row.h"

namespace tandem::calibration {
namespace {

using Member = cpu::Team::Member;

constexpr std::uint32_t kRows = 64;
constexpr std::uint32_t kPiece = 1024;  ///< elements of a row that one thread takes

/// Rows of fp32, and rows of integers.
class Rows {
 public:
  explicit Rows(std::uint32_t elems) : elems_(elems), floats_(std::size_t{kRows} * elems, 0.5f) {
    quantised_.resize(layout().row_bytes() * kRows);
  }

  [[nodiscard]] std::uint32_t elems() const noexcept { return elems_; }
  [[nodiscard]] cpu::QuantisedLayout layout() const noexcept { return {elems_}; }
  float* row(std::size_t r) noexcept { return &floats_[r * elems_]; }
  std::byte* quantised(std::size_t r) noexcept { return &quantised_[r * layout().row_bytes()]; }
  [[nodiscard]] cpu::ProductInput view(std::uint32_t rows) const noexcept {
    return {floats_.data(), quantised_.data(), elems_, rows};
  }

  /// Calls work(row, first element, elements) for all pieces, shared out.
  template <class Work>
  void for_pieces(Member& member, const Work& work) const {
    const std::size_t pieces = (elems_ + kPiece - 1) / kPiece;
    member.for_each(kRows * pieces, [&](std::size_t i) {
      const auto first = static_cast<std::uint32_t>(i % pieces) * kPiece;
      work(i / pieces, first, std::min(kPiece, elems_ - first));
    });
  }

  /// Writes all of it, as a matrix's outputs are written: in pieces, by whichever thread.
  void fill(Member& member) {
    for_pieces(member, [&](std::size_t r, std::uint32_t first, std::uint32_t n) {
      std::fill_n(row(r) + first, n, 0.5f);
    });
  }

 private:
  std::uint32_t elems_;
  std::vector<float> floats_;
  std::vector<std::byte> quantised_;
};

class Elements {
 public:
  Elements(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels, const WeightBlock& block)
      : pace_(pace), team_(team), kernels_(kernels), block_(block) {}

  /// The ends of two halves: a sum with a norm, the next half's norm and its conversion.
  double norms_g_per_s() {
    Rows x(kWidth), projected(kWidth), normed(kWidth);
    const std::vector<float> weight(kWidth, 1.0f);
    const auto finish_row = [&](std::size_t r) {
      kernels_.add_rms_norm(projected.row(r), weight.data(), kWidth, kEps, 0.5f, x.row(r));
      kernels_.rms_norm(x.row(r), weight.data(), kWidth, kEps, normed.row(r));
      kernels_.quantise(normed.row(r), normed.layout(), 0, kWidth, normed.quantised(r));
    };
    return rate(
        4.0 * kRows * kWidth, [&](Member& m) { projected.fill(m); },
        [&](Member& m) { m.for_each(kRows, finish_row); });
  }

  double geglu_g_per_s() {
    Rows gate(kFfnWidth), up(kFfnWidth);
    const auto fill = [&](Member& member) {
      gate.fill(member);
      up.fill(member);
    };
    const auto work = [&](std::size_t r, std::uint32_t first, std::uint32_t n) {
      kernels_.gelu_multiply(gate.row(r) + first, up.row(r) + first, n);
      kernels_.quantise(gate.row(r), gate.layout(), first, n, gate.quantised(r));
    };
    return rate(double{kRows} * kFfnWidth, fill, [&](Member& m) { gate.for_pieces(m, work); });
  }

  /// Long heads and half as many elements in short ones tell elements from heads: two equations.
  void measure_heads(planner::ElementRates& rates) {
    constexpr std::uint32_t kLong = 256, kShort = 64, kKvHeads = 8;
    const auto elems = [](std::uint32_t head_dim) { return 2.0 * kRows * 3 * kKvHeads * head_dim; };
    const auto long_s = heads_s(kKvHeads, kLong);
    const auto short_s = heads_s(kKvHeads, kShort);
    const auto elem_s = (long_s - short_s) / (elems(kLong) - elems(kShort));
    rates.heads_g_per_s = giga_per_s(1, elem_s);
    rates.heads_begun_g_per_s = giga_per_s(4.0 * kRows * kKvHeads, short_s - elems(kShort) * elem_s);
  }

  double logits_g_per_s() {
    Rows logits(kLogits);
    const auto work = [&](std::size_t r, std::uint32_t first, std::uint32_t n) {
      kernels_.softcap(logits.row(r) + first, n, 30.0f);
    };
    return rate(
        double{kRows} * kLogits, [&](Member& m) { logits.fill(m); },
        [&](Member& m) { logits.for_pieces(m, work); });
  }

  /// Of a matrix that is wide and flat: its input converted by one thread and loaded by all.
  double inputs_g_per_s() {
    constexpr std::uint32_t kManyInputs = 4096, kFewOutputs = 192;
    Rows input(kManyInputs);
    std::vector<float> out(std::size_t{kRows} * kFewOutputs);
    const auto quantise = [&](Member& member) {
      member.for_each(kRows, [&](std::size_t r) {
        kernels_.quantise(input.row(r), input.layout(), 0, kManyInputs, input.quantised(r));
      });
    };
    const auto multiply = [&](Member& member) { product(member, input, kRows, kFewOutputs, out); };
    const auto apart_s = seconds(quantise) + seconds(multiply);
    const auto together_s = seconds([&](Member& member) {
      quantise(member);
      multiply(member);
    });
    return giga_per_s(double{kRows} * kManyInputs, together_s - apart_s);
  }

  /// Of matrices with few inputs: twice as many inputs take twice the arithmetic, and outputs are the rest.
  double outputs_g_per_s() {
    constexpr std::uint32_t kFewInputs = 128, kOutputs = 2048;
    Rows narrow(kFewInputs), wide(2 * kFewInputs);
    std::vector<float> out(std::size_t{kRows} * kOutputs);
    const auto narrow_s = seconds([&](Member& member) { product(member, narrow, kRows, kOutputs, out); });
    const auto wide_s = seconds([&](Member& member) { product(member, wide, kRows, kOutputs, out); });
    return giga_per_s(double{kRows} * kOutputs, 2 * narrow_s - wide_s);
  }

 private:
  static constexpr std::uint32_t kWidth = FfnShape{}.width;
  static constexpr std::uint32_t kFfnWidth = FfnShape{}.ffn_width;
  static constexpr std::uint32_t kLogits = 16384;
  static constexpr float kEps = 1e-6f;

  /// Seconds of `kv_heads` heads of K and V with two queries each, as in Gemma 3 and 4 12B.
  double heads_s(std::uint32_t kv_heads, std::uint32_t head_dim) {
    constexpr auto kType = device::KvType::f16;
    const auto pairs = head_dim / 2;
    const auto keys = kv_heads * head_dim;
    const auto head_bytes = cpu::kv_bytes(kType, head_dim);
    Rows q(2 * keys), k(keys), v(keys), attended(2 * keys);
    const std::vector<float> weight(head_dim, 1.0f), cos(pairs, 0.8f), sin(pairs, 0.6f);
    std::vector<std::byte> staging(std::size_t{2} * kRows * kv_heads * head_bytes);
    const auto norm_and_rotate = [&](float* head) {
      kernels_.rms_norm(head, weight.data(), head_dim, kEps, head);
      kernels_.rotate(cos.data(), sin.data(), pairs, head_dim, head);
    };
    const auto finish_heads = [&](std::size_t i) {
      const auto r = i / kv_heads;
      const auto h = i % kv_heads;
      for (auto* const query : {q.row(r) + 2 * h * head_dim, q.row(r) + (2 * h + 1) * head_dim}) {
        norm_and_rotate(query);
        kernels_.round_query(0.5f, kType, head_dim, query);
      }
      norm_and_rotate(k.row(r) + h * head_dim);
      kernels_.rms_norm(v.row(r) + h * head_dim, nullptr, head_dim, kEps, v.row(r) + h * head_dim);
      kernels_.encode_kv(k.row(r) + h * head_dim, head_dim, kType, &staging[2 * i * head_bytes]);
      kernels_.encode_kv(v.row(r) + h * head_dim, head_dim, kType, &staging[(2 * i + 1) * head_bytes]);
    };
    const auto fill = [&](Member& member) {
      for (auto* rows : {&q, &k, &v, &attended}) rows->fill(member);
    };
    return seconds_after(fill, [&](Member& member) {
      member.for_each(std::size_t{kRows} * kv_heads, finish_heads);
      member.for_each(kRows, [&](std::size_t r) {
        kernels_.quantise(attended.row(r), attended.layout(), 0, attended.elems(), attended.quantised(r));
      });
    });
  }

  /// 0 where the time was not to be seen.
  static double giga_per_s(double elems, double seconds) { return seconds > 0 ? elems / seconds / 1e9 : 0; }

  template <class Work>
  double seconds(const Work& work) {
    return pace_.median_s([&] { team_.run([&](Member& member) { work(member); }); });
  }

  template <class Fill, class Work>
  double seconds_after(const Fill& fill, const Work& work) {
    const auto both_s = seconds([&](Member& member) {
      fill(member);
      work(member);
    });
    return both_s - seconds(fill);
  }

  template <class Fill, class Work>
  double rate(double elems, const Fill& fill, const Work& work) {
    return giga_per_s(elems, seconds_after(fill, work));
  }

  void product(Member& member, const Rows& input, std::uint32_t rows, std::uint32_t outputs,
               std::vector<float>& out) {
    const device::Matrix matrix{block_.bytes().data(), device::BlockType::q4_0, input.elems(), outputs};
    const cpu::Product product{&matrix, out.data()};
    cpu::multiply_all(member, kernels_, input.view(rows), {&product, 1});
  }

  Pace& pace_;
  cpu::Team& team_;
  const cpu::KernelSet& kernels_;
  const WeightBlock& block_;
};

}  // namespace

planner::ElementRates element_rates(Pace& pace, cpu::Team& team, const cpu::KernelSet& kernels,
                                    const WeightBlock& block) {
  Elements elements(pace, team, kernels, block);
  planner::ElementRates rates;
  rates.norms_g_per_s = elements.norms_g_per_s();
  elements.measure_heads(rates);
  rates.geglu_g_per_s = elements.geglu_g_per_s();
  rates.inputs_g_per_s = elements.inputs_g_per_s();
  rates.outputs_g_per_s = elements.outputs_g_per_s();
  rates.logits_g_per_s = elements.logits_g_per_s();
  return rates;
}

}  // namespace tandem::calibration
