#pragma once

// Block types times few activation rows, as in decoding: quants go from sixteen rows of W straight into dot
// products, nothing unpacked is written to memory.
//
// Limit: one row waits for memory.  More rows wait for the two ports that load 512 bits, 1.8 loads a cycle:
// eight rows take 64 broadcasts for 32 columns, and fields, scales and what is asked ahead make 90 to 120 of
// them.  Stores cost most where weights come from memory, so that what a compiler cannot keep in registers
// costs twice: hence rows in turn (kRowsInTurn), and pairs of halves whose fields are read anew for each
// (blocks.h).  The quants of Q2_K and Q3_K are multiplied where they are in their bytes by one row and two,
// and their scales make up for it; five rows and more meet them scaled (scaled_quants.h).  Unpacking and
// waiting overlap only if memory is asked ahead: a core has too few instructions in flight to do both.  How
// far and how often is part of each layout (lanes.h, repacked_source.h).  Without VNNI, products of a group
// are added up in int16 (panel_row.h).
//
// Tried and lost: four rows' activations with one load, and weights spread to them by shuffles, a third of
// the loads (a compiler's registers do not hold what that takes; written by hand, as long as broadcasts); two
// times sixteen rows of W, unpacked to panels, for half of the broadcasts (as long in the caches, a third
// more from memory); fields of Q3_K and Q6_K in whole lines (0 to 2 %); asking further ahead in rows as they
// are in the file (what is asked beyond the end of a stream is wasted; in planes up to nine streams gained a
// tenth to a fifth on Zen 5 by it, sixteen lost), asking into the second-level cache only (Q6_K times eight
// rows 45 instead of 26 ns), and asking for as many lines with each group instead of with each field;
// multiplying a group after unpacking the next one; eight rows of weights that are not repacked (a panel is
// as fast, or faster); one block at a time instead of two for four rows; two sums a row, so that dot products
// wait less for each other; Q2_K's scales by VPERMPS, a tenth fewer instructions, and its mins beside its
// groups (as long); rows in turn for scaled halves (0 to 5 % more).

#include "backends/cpu/panel_row.h"
#include "backends/cpu/repacked_source.h"
#include "backends/cpu/scaled_quants.h"

namespace tandem::cpu {
namespace {

/// Rows that meet what is unpacked at a time: their sums stay in registers beside it.  A compiler that has to
/// keep sums in memory stores them over and over, which costs most where weights come from memory.
inline constexpr int kRowsInTurn = 4;

/// Calls visit.operator()<rows>(row) for `kTogether` rows after as many of N, or for all of fewer.
template <int N, int kTogether = kRowsInTurn, class Visitor>
TANDEM_INLINE void for_rows_in_turn(const Visitor& visit) {
  constexpr int kRows = N < kTogether ? N : kTogether;
#pragma GCC unroll 2
  for (int row = 0; row < N; row += kRows) visit.template operator()<kRows>(row);
}

/// The integer sums of group `group`, unpacked.
template <class Format, int N, class... Sixteens>
TANDEM_INLINE void multiply_group_of_block(int group, const PanelRow<KindOf<Format>>* x, I32x16 (&sum)[N],
                                           const Sixteens&... sixteens) {
  for (int n = 0; n < N; ++n) sum[n] = x[n].template start<I32x16>(group);
  int column = group * Format::kGroup;
  const auto add = [&](const LaneBytes& sixteen) {
    const LaneBytes weights = as_multiplied<KindOf<Format>>(sixteen);
    add_sixteen<N>([&](int i) { return weights.four_columns(i); }, x, column, sum);
    column += 16;
  };
  (add(sixteens), ...);
  for (int n = 0; n < N; ++n) sum[n] = x[n].whole(sum[n], group);
}

/// The integer sums of a block of sixteen rows times N activation rows, where they begin with group
/// `first_group`.
template <class Format, int N, class Source>
TANDEM_INLINE void multiply_block(const Source& from, int first_group, const PanelRow<KindOf<Format>>* x,
                                  I32x16 (*sums)[N]) {
  Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
    I32x16 sum[N];
    multiply_group_of_block<Format, N>(first_group + group, x, sum, sixteens...);
    for (int n = 0; n < N; ++n) sums[group][n] = sum[n];
  });
}

/// Adds group `group`, whose scale and min are `scale` and, with kHasMin, `min`, to y.  Without, `min` is not
/// read: it may be uninitialised.
template <class Format, int N>
TANDEM_INLINE void add_scaled(int group, const F32x16& scale, const F32x16& min, const I32x16 (&sum)[N],
                              const PanelRow<KindOf<Format>>* x, F32x16* y) {
  for (int n = 0; n < N; ++n) {
    F32x16 term = mul(mul(scale, broadcast(x[n].scales[group])), to_float(sum[n]));
    if constexpr (Format::kHasMin) term = add(term, mul(min, broadcast(x[n].min_factors[group])));
    y[n] = add(y[n], term);
  }
}

/// Adds kBlocks blocks of sixteen rows with groups of 32, block_at(0) and so on, times N activation rows.
template <class Format, int kBlocks, int N, class Blocks>
TANDEM_INLINE void add_groups(const Blocks& block_at, int first_group, const PanelRow<KindOf<Format>>* x,
                              F32x16 (&y)[N]) {
  constexpr int kBlockGroups = Format::kElems / Format::kGroup, kGroups = kBlocks * kBlockGroups;
  I32x16 sums[kGroups][N];
  F32x16 scales[kGroups], mins[kGroups];
#pragma GCC unroll 4
  for (int block = 0; block < kBlocks; ++block) {
    const auto from = block_at(block);
    const int first = block * kBlockGroups;
    multiply_block<Format, N>(from, first_group + first, x, sums + first);
    Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
      scales[first + group] = in_registers(scale);
      ((mins[first + group] = in_registers(min)), ...);
    });
  }
  for (int g = 0; g < kGroups; ++g) add_scaled<Format, N>(first_group + g, scales[g], mins[g], sums[g], x, y);
}

/// Whether groups are scaled in turn, for which their integer sums need not be stored: where registers hold
/// them beside what is unpacked, which of large blocks takes more with mins and with fifth bits.
template <class Format, int N>
inline constexpr bool kGroupsInTurn = kSumsInRegisters >= 16 &&
                                      (Format::kElems == 32
                                           ? N == 8
                                           : Format::kMaxQuant != 31 && N >= (Format::kHasMin ? 8 : 4));

/// The same of one block, group after group.
template <class Format, int N, class Source>
TANDEM_INLINE void add_groups_in_turn(const Source& from, int first_group, const PanelRow<KindOf<Format>>* x,
                                      F32x16 (&y)[N]) {
  constexpr int kGroups = Format::kElems / Format::kGroup;
  constexpr int kTogether = kGroups == 1 ? kRowsInTurn : N;  // in turn, large blocks took 3 % more
  F32x16 scales[kGroups], mins[kGroups];
  Format::unpack_scales(from, [&](int group, LaneFloats scale, auto... min) {
    scales[group] = in_registers(scale);
    ((mins[group] = in_registers(min)), ...);
  });
  Format::unpack_quants(from, [&](int group, const auto&... sixteens) {
    for_rows_in_turn<N, kTogether>([&]<int kRows>(int row) {
      I32x16 sum[kRows];
      multiply_group_of_block<Format, kRows>(first_group + group, x + row, sum, sixteens...);
      add_scaled<Format, kRows>(first_group + group, scales[group], mins[group], sum, x + row, y + row);
    });
  });
}

/// Adds the mins of a block of halves.
template <class Format, int N, class Source, class Kind>
TANDEM_INLINE void add_mins(const Source& from, F32x16 factor, const PanelRow<Kind>* x, F32x16 (&y)[N]) {
  I32x16 mins[kPanelGroups];
  Format::unpack_mins(from, [&](int i, LaneWords whole) { mins[i] = in_registers(whole); });
  const auto mins_of = [&mins](std::size_t g) { return mins[g]; };
  for (int n = 0; n < N; ++n) {
    y[n] = add(y[n], mul(factor, sum_of_mins<F32x16>(mins_of, x[n].sums, x[n].scales, 1)));
  }
}

/// (byte `byte` of each word - offset) * 2^-down, of bytes below 128: put among the digits of a number so
/// large that 2^-down is the last of them.
TANDEM_INLINE F32x16 scaled_byte(const LaneWords& words, int byte, int offset, int down) {
  const LaneWords digits = LaneWords{} + (static_cast<std::uint32_t>(127 + 23 - down) << 23);
  const auto large = static_cast<float>(1 << (23 - down));
  const auto taken_off = large + static_cast<float>(offset) / static_cast<float>(1 << down);
  return in_registers((LaneFloats)(((words >> (8 * byte)) & 127) | digits) - taken_off);
}

/// What a block of halves is for N activation rows, but for its factor: pair after pair of groups.
template <class Format, int N, class Source>
TANDEM_INLINE void multiply_halves_in_turn(const Source& from, const PanelRow<KindOf<Format>>* x,
                                           F32x16 (&block)[N]) {
  const auto scales = Format::scale_bytes(from);
  const auto scale = [&](int group, int up) {
    return scaled_byte(scales[group / 4], group % 4, Format::kScaleOffset, up);
  };
  for (int n = 0; n < N; ++n) block[n] = broadcast(0.0f);
  I32x16 sums[2][N];
  Format::unpack_quants_in_place(from, [&](int group, const LaneBytes& sixteen, int up) {
    I32x16(&sum)[N] = sums[group % 2];
    for (int n = 0; n < N; ++n) sum[n] = x[n].template start<I32x16>(group, up);
    add_sixteen<N>([&](int i) { return sixteen.four_columns(i); }, x, 16 * group, sum);
    if (group % 2 == 0) return;
    const F32x16 first = scale(group - 1, up), second = scale(group, up);
    for (int n = 0; n < N; ++n) {
      const F32x16 both = sum_of_halves(first, sums[0][n], second, sums[1][n]);
      block[n] = add(block[n], mul(both, broadcast(x[n].scales[group / 2])));
    }
  });
}

/// The same where registers do not hold the fields of two halves: field after field, so that the integer sums
/// of first halves wait for those of their second halves.
template <class Format, int N, class Source>
TANDEM_INLINE void multiply_halves_by_field(const Source& from, const PanelRow<KindOf<Format>>* x,
                                            F32x16 (&block)[N]) {
  F32x16 scales[2 * kPanelGroups];
  Format::unpack_scales(
      from, [&](int group, LaneWords whole) { scales[group] = in_registers(Source::to_floats(whole)); });
  for (int n = 0; n < N; ++n) block[n] = broadcast(0.0f);
  I32x16 firsts[kPanelGroups][N];
  Format::unpack_quants(from, [&](int group, const LaneBytes& sixteen) {
    I32x16 sum[N];
    multiply_group_of_block<Format, N>(group, x, sum, sixteen);
    I32x16(&first)[N] = firsts[group / 2];
    for (int n = 0; n < N; ++n) {
      if (group % 2 == 0) {
        first[n] = sum[n];
        continue;
      }
      const F32x16 both = sum_of_halves(scales[group - 1], first[n], scales[group], sum[n]);
      block[n] = add(block[n], mul(both, broadcast(x[n].scales[group / 2])));
    }
  });
}

/// The same in pairs of groups, of which four rows after four rows meet each.
template <class Format, int N, class Source>
TANDEM_INLINE void multiply_halves_in_pairs(const Source& from, const PanelRow<KindOf<Format>>* x,
                                            F32x16 (&block)[N]) {
  F32x16 scales[2 * kPanelGroups];
  Format::unpack_scales(
      from, [&](int group, LaneWords whole) { scales[group] = in_registers(Source::to_floats(whole)); });
  for (int n = 0; n < N; ++n) block[n] = broadcast(0.0f);
  Format::unpack_pairs(from, [&](int pair, const LaneBytes& first, const LaneBytes& second) {
    for_rows_in_turn<N>([&]<int kRows>(int row) {
      I32x16 sums[2][kRows];
      multiply_group_of_block<Format, kRows>(2 * pair, x + row, sums[0], first);
      multiply_group_of_block<Format, kRows>(2 * pair + 1, x + row, sums[1], second);
      for (int n = 0; n < kRows; ++n) {
        const F32x16 both = sum_of_halves(scales[2 * pair], sums[0][n], scales[2 * pair + 1], sums[1][n]);
        F32x16& y = block[row + n];
        y = held(add(y, mul(both, broadcast(x[row + n].scales[pair]))));
      }
    });
  });
}

/// The same with quants that are scaled.
template <class Format, int N, class Source, class Kind>
TANDEM_INLINE void multiply_scaled_in_turn(const Source& from, const PanelRow<Kind>* x, F32x16 (&block)[N]) {
  for (int n = 0; n < N; ++n) block[n] = broadcast(0.0f);
  I32x16 sum[N];
  unpack_scaled(Format{}, from, [&](int half, const LaneBytes& sixteen) {
    if (half % 2 == 0) {
      for (int n = 0; n < N; ++n) sum[n] = x[n].template start<I32x16>(half / 2);
    }
    const LaneBytes weights = as_multiplied<Kind>(sixteen);
    add_sixteen<N>([&](int i) { return weights.four_columns(i); }, x, 16 * half, sum);
    if (half % 2 == 0) return;
    for (int n = 0; n < N; ++n) {
      block[n] = add(block[n], mul(to_float(sum[n]), broadcast(x[n].scales[half / 2])));
    }
  });
}

/// Adds a block of halves, a whole panel, times N activation rows.
template <class Format, int N, class Source, class Kind>
TANDEM_INLINE void add_halves(const Source& from, const PanelRow<Kind>* x, F32x16 (&y)[N]) {
  F32x16 block[N];
  constexpr bool kFewFields = Format::kMaxQuant < 8;  // Q6_K has six fields a half
  if constexpr (Kind::kScaled) {
    multiply_scaled_in_turn<Format, N>(from, x, block);
  } else if constexpr (kSumsInRegisters >= 16 && N >= 4 && requires { from.bytes_anew(0, true); }) {
    multiply_halves_in_pairs<Format, N>(from, x, block);
  } else if constexpr (kSumsInRegisters >= 16 && kFewFields) {
    multiply_halves_in_turn<Format, N>(from, x, block);
  } else {
    multiply_halves_by_field<Format, N>(from, x, block);
  }
  Format::unpack_factors(from, [&](LaneFloats factor, auto... min_factor) {
    const F32x16 block_factor = in_registers(Kind::kScaled ? scaled_factor<Format>(factor) : factor);
    for (int n = 0; n < N; ++n) y[n] = add(y[n], mul(block_factor, block[n]));
    (add_mins<Format, N>(from, in_registers(min_factor), x, y), ...);
  });
}

/// Adds kBlocks blocks of sixteen rows, block_at(0) and so on, times N activation rows, where they begin with
/// group `first_group`, to `y`.
template <class Format, int kBlocks, int N, class Blocks, class Kind>
TANDEM_INLINE void add_blocks(const Blocks& block_at, int first_group, const PanelRow<Kind>* x,
                              F32x16 (&y)[N]) {
  if constexpr (KindOf<Format>::kHalves) {
    static_assert(kBlocks == 1 && Format::kElems == kPanelColumns);
    add_halves<Format, N>(block_at(0), x, y);
  } else if constexpr (kGroupsInTurn<Format, N>) {
#pragma GCC unroll 2
    for (int block = 0; block < kBlocks; ++block)
      add_groups_in_turn<Format, N>(block_at(block), first_group + block, x, y);
  } else {
    add_groups<Format, kBlocks, N>(block_at, first_group, x, y);
  }
}

/// Adds `columns` columns of sixteen rows of W, from `w` on and `stride` bytes apart, times N activation rows
/// to `sums`; `x` has the rows of the first panel, then those of the next one.
template <class Format, int N>
void multiply_few_rows(const std::uint8_t* w, std::size_t stride, int columns,
                       const PanelRow<KindOf<Format>>* x, float (*sums)[kTileOutputs]) {
  // Enough blocks of 32 at a time to hide how long each takes from first to last, where registers hold them.
  constexpr int kMost = N == 1 && Format::kBytes <= 24 ? 4 : 2;
  constexpr int kBlocks = Format::kElems > 32 || kSumsInRegisters < 16 ? 1 : kMost;
  constexpr int kGroups = Format::kElems / Format::kGroup;
  LaneRows rows(w, stride);
  const auto block_at = [&rows](int block) {
    return LaneSource(rows, static_cast<std::size_t>(block * Format::kBytes), Format::kBytes);
  };
  AskAhead ahead;
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  for (; columns >= kPanelColumns; columns -= kPanelColumns, x += N) {
#pragma GCC unroll 1
    for (int g = 0; g < kPanelColumns / Format::kGroup; g += kBlocks * kGroups) {
      ahead.advance(rows, kBlocks * Format::kBytes);
      add_blocks<Format, kBlocks, N>(block_at, g, x, y);
      rows.advance(std::size_t{kBlocks} * Format::kBytes);
    }
  }
  if constexpr (kGroups == 1) {
    for (int g = 0; g < columns / Format::kElems; ++g) {
      add_blocks<Format, 1, N>(block_at, g, x, y);
      rows.advance(Format::kBytes);
    }
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

/// Adds `columns` columns of sixteen rows of repacked W, from panel `at` on, times N activation rows.
template <class Format, class Reader, int N, class Kind = KindOf<Format>>
void multiply_few_repacked(const PanelPlace& at, int columns, const PanelRow<Kind>* x,
                           float (*sums)[kTileOutputs]) {
  constexpr int kBlocks = Format::kElems > 32 ? 1 : 2;  // as above
  constexpr int kGroups = Format::kElems / Format::kGroup;
  Reader reader(at);
  const auto block_at = [&reader](int block) { return reader.block(block); };
  F32x16 y[N];
  for (int n = 0; n < N; ++n) y[n] = load(sums[n]);
  for (; columns > 0; columns -= kPanelColumns, x += N) {
#pragma GCC unroll 1
    for (int g = 0; g < kPanelColumns / Format::kGroup; g += kBlocks * kGroups) {
      add_blocks<Format, kBlocks, N>(block_at, g, x, y);
      reader.advance_blocks(kBlocks);
    }
    reader.next_panel();
  }
  for (int n = 0; n < N; ++n) store(sums[n], y[n]);
}

}  // namespace
}  // namespace tandem::cpu
