// Attention on the emulated device against the CPU backend's kernels, on caches full of random numbers.

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "backends/cpu/half.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/kv_rows.h"
#include "backends/cuda/attend.h"
#include "backends/cuda/heads.h"
#include "tests/backends/cuda/emulated.h"
#include "tests/backends/cuda/test_device.h"

namespace tandem::cuda_test {
namespace {

using cuda::Device;
using cuda::DeviceMemory;
using cuda::StepRow;
using cuda::Stream;
using device::KvLayout;
using device::KvType;

const cpu::KernelSet& cpu_kernels() {
  return cpu::best_kernel_set();
}

/// Rows of one sequence in a micro-batch.
struct Sequence {
  std::uint32_t slot;
  std::uint32_t rows;
  std::uint64_t first_position;
  std::uint64_t first_key = 0;
};

struct Case {
  const char* name;
  KvType type;
  KvLayout layout;
  std::uint32_t heads, kv_heads, head_dim, window;
  std::vector<Sequence> sequences;
  std::uint32_t max_splits = 8;
};

constexpr std::uint32_t kSlots = 3, kPageTok = 16;
constexpr std::size_t kPages = 125;  ///< of a sequence

/// One attention half with everything it needs, in host memory.
struct Fixture {
  device::AttentionHalf half;
  std::vector<float> q_norm, k_norm, q, k, v;
  std::vector<double> inv_freq;
  std::vector<std::byte> cache, staging;
  std::vector<std::vector<std::uint32_t>> pages;
  std::vector<device::SequenceRows> sequences;
  std::uint32_t rows = 0;
  std::mt19937 random{17};

  explicit Fixture(const Case& of) {
    half.heads = of.heads;
    half.kv_heads = of.kv_heads;
    half.head_dim = of.head_dim;
    half.window = of.window;
    half.attention_scale = 0.3f;
    half.v_norm = true;
    half.kv.type = of.type;
    half.kv.layout = of.layout;
    half.kv.cells = of.window;
    half.kv.page_tok = of.window == 0 ? kPageTok : 0;
    const std::uint32_t vectors = of.layout == KvLayout::separate ? 2 : 1;
    half.kv.row_bytes = vectors * cpu::kv_bytes(of.type, std::size_t{of.kv_heads} * of.head_dim);
    q_norm = floats(of.head_dim);
    k_norm = floats(of.head_dim);
    half.q_norm = q_norm.data();
    half.k_norm = k_norm.data();
    for (std::uint32_t i = 0; i < of.head_dim / 2; ++i) {  // the last quarter does not rotate
      inv_freq.push_back(i < of.head_dim * 3 / 8 ? std::pow(1e4, -2.0 * i / of.head_dim) : 0.0);
    }
    half.inv_freq = inv_freq.data();
    make_pages();
    for (const auto& sequence : of.sequences) {
      sequences.push_back({sequence.slot, rows, sequence.rows, sequence.first_position, sequence.first_key,
                           pages[sequence.slot].data()});
      rows += sequence.rows;
    }
    const std::size_t cells =
        of.window != 0 ? std::size_t{kSlots} * of.window : std::size_t{kSlots} * pages[0].size() * kPageTok;
    cache = kv_rows(cells);
    half.kv.rows = cache.data();
    staging = kv_rows(rows);
    q = floats(std::size_t{rows} * of.heads * of.head_dim);
    cpu_kernels().round_query(1.0f, of.type, static_cast<std::uint32_t>(q.size()), q.data());
    k = floats(std::size_t{rows} * of.kv_heads * of.head_dim);
    v = floats(k.size());
  }

  std::vector<float> floats(std::size_t n) {
    std::normal_distribution<float> values(0.0f, 1.0f);
    std::vector<float> result(n);
    for (float& value : result) value = values(random);
    return result;
  }

  void make_pages() {
    std::vector<std::uint32_t> all(kSlots * kPages);
    for (std::uint32_t i = 0; i < all.size(); ++i) all[i] = i;
    std::shuffle(all.begin(), all.end(), random);
    for (std::uint32_t s = 0; s < kSlots; ++s) {
      const auto first = all.begin() + static_cast<std::ptrdiff_t>(s * kPages);
      pages.emplace_back(first, first + kPages);
    }
  }

  std::vector<std::byte> kv_rows(std::size_t n) {
    const std::size_t vectors = half.kv.layout == KvLayout::separate ? 2 : 1;
    const std::size_t elems = vectors * half.kv_heads * half.head_dim;
    std::vector<std::byte> bytes(n * half.kv.row_bytes);
    for (std::size_t i = 0; i < n; ++i) {
      const auto values = floats(elems);
      cpu_kernels().encode_kv(values.data(), static_cast<std::uint32_t>(elems), half.kv.type,
                              bytes.data() + i * half.kv.row_bytes);
    }
    return bytes;
  }

  [[nodiscard]] std::uint32_t rotated_pairs() const { return half.head_dim * 3 / 8; }

  /// As fp32 what is fp16; else as it is.
  [[nodiscard]] std::vector<std::byte> widened(const std::vector<std::byte>& narrow) const {
    if (half.kv.type != KvType::f16) return narrow;
    std::vector<std::byte> wide(2 * narrow.size());
    for (std::size_t i = 0; i < narrow.size() / sizeof(std::uint16_t); ++i) {
      std::uint16_t bits = 0;
      std::memcpy(&bits, narrow.data() + i * sizeof(bits), sizeof(bits));
      const float value = cpu::half_to_float(bits);
      std::memcpy(wide.data() + i * sizeof(value), &value, sizeof(value));
    }
    return wide;
  }

  /// Attention by the CPU backend, a query at a time.  Of fp16 KV it would round weights and derived keys, so
  /// it is given the same numbers as fp32.
  [[nodiscard]] std::vector<float> attend_on_cpu() const {
    const auto wide_cache = widened(cache);
    const auto wide_staging = widened(staging);
    auto wide = half;
    wide.kv.rows = const_cast<std::byte*>(wide_cache.data());
    if (half.kv.type == KvType::f16) {
      wide.kv.type = KvType::f32;
      wide.kv.row_bytes = 2 * half.kv.row_bytes;
    }
    std::vector<float> out(q.size());
    for (const auto& sequence : sequences) {
      for (std::uint32_t r = 0; r < sequence.rows; ++r) {
        for (std::uint32_t h = 0; h < half.heads; ++h) {
          cpu::AttendTask task;
          task.half = &wide;
          task.sequence = &sequence;
          task.staging = wide_staging.data();
          task.q = q.data();
          task.out = out.data();
          task.kv_head = h / (half.heads / half.kv_heads);
          task.first_row = r;
          task.n_rows = 1;
          task.first_head = h;
          task.n_heads = 1;
          task.rotated_pairs = rotated_pairs();
          cpu_kernels().attend(task);
        }
      }
    }
    return out;
  }
};

/// The same on an emulated device.
struct OnDevice {
  const Fixture& fixture;
  Device device;
  Stream stream;
  std::vector<DeviceMemory> memory;
  device::AttentionHalf half;
  cuda::StepRows step;
  std::byte* staging;
  float* q;

  OnDevice(const Fixture& its_fixture, std::uint64_t seed)
      : fixture(its_fixture), device(open_test_device({.seed = seed})), stream(device), half(fixture.half) {
    half.kv.rows = const_cast<std::byte*>(keep(fixture.cache));
    half.q_norm = keep(fixture.q_norm);
    half.k_norm = keep(fixture.k_norm);
    half.inv_freq = keep(fixture.inv_freq);
    staging = const_cast<std::byte*>(keep(fixture.staging));
    q = const_cast<float*>(keep(fixture.q));
    std::vector<StepRow> rows;
    std::vector<std::uint32_t> pages;
    for (const auto& sequence : fixture.sequences) {
      for (std::uint32_t r = 0; r < sequence.rows; ++r) {
        rows.push_back({sequence.first_position + r, sequence.first_position, sequence.first_key,
                        sequence.first_row, sequence.first_row + sequence.rows, sequence.slot,
                        static_cast<std::uint32_t>(pages.size())});
      }
      const auto& table = fixture.pages[sequence.slot];
      pages.insert(pages.end(), table.begin(), table.end());
    }
    step = {keep(rows), keep(pages), fixture.rows};
  }

  template <class T>
  const T* keep(const std::vector<T>& values) {
    return as<const T>(memory.emplace_back(upload<T>(device, stream, values)));
  }

  /// Attention of rows [first, first + n), which see the others' keys in staging all the same.
  std::vector<float> attend(std::uint32_t first, std::uint32_t n, std::uint32_t max_splits) {
    const std::size_t row_elems = std::size_t{half.heads} * half.head_dim;
    const DeviceMemory out(device, n * row_elems * sizeof(float));
    const DeviceMemory parts(device, std::size_t{cuda::kDecodeRows} * half.heads * max_splits *
                                         (half.head_dim + 2) * sizeof(float));
    cuda::AttendStep attention;
    attention.half = half;
    attention.step = {step.rows + first, step.pages, n};
    attention.q = q + first * row_elems;
    attention.staging = staging;
    attention.out = as<float>(out);
    attention.parts = as<float>(parts);
    attention.max_splits = max_splits;
    cuda::attend(stream, attention);
    return download<float>(device, stream, out, n * row_elems);
  }

  template <class T>
  std::vector<T> read_back(const T* from, std::size_t n) {
    const cuda::PinnedMemory pinned(device, n * sizeof(T));
    stream.copy_to_host(pinned.data(), from, n * sizeof(T));
    stream.synchronise();
    std::vector<T> values(n);
    std::memcpy(values.data(), pinned.data(), n * sizeof(T));
    return values;
  }
};

void PrintTo(const Case& of, std::ostream* out) {
  *out << of.name;
}

/// How far an element of order one may be off.  A score adds up head_dim products of order one in fp32; the
/// exponential makes its rounding a relative error of weights that add up to one.  Tensor cores, which f16
/// and q8_0 go through, cut instead of rounding (emulation/lanes.cpp): every step of eight products can take
/// a unit of the last place off a sum, always toward zero, which for a score is of the size of
/// sqrt(head_dim).
double tolerance_of(const Case& of) {
  const double rounding = 1e-5 + 1.2e-7 * of.head_dim;
  if (of.type == KvType::f32) return rounding;
  const double unit = 0x1p-23;
  const double products =
      of.layout == KvLayout::vector ? 2 : 1;  // of derived keys: of their fp16 and the rest
  const double score_steps = products * of.head_dim / 8;
  const double value_steps = 2.0 * 256 / 8;  // of a part: weights are fp16 and a rest
  return rounding + unit * (score_steps * std::sqrt(of.head_dim) + value_steps);
}

class Attention : public testing::TestWithParam<Case> {};

TEST_P(Attention, IsTheCpus) {
  const Fixture fixture(GetParam());
  const auto expected = fixture.attend_on_cpu();
  for (std::uint64_t seed = 0; seed < 2; ++seed) {
    OnDevice on_device(fixture, seed);
    const auto actual = on_device.attend(0, fixture.rows, GetParam().max_splits);
    for (std::size_t i = 0; i < expected.size(); ++i) {
      ASSERT_NEAR(actual[i], expected[i], tolerance_of(GetParam())) << i;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, Attention,
    testing::Values(
        Case{"decode_f16_global", KvType::f16, KvLayout::separate, 4, 2, 64, 0, {{1, 1, 700}}},
        Case{"decode_several",
             KvType::f16,
             KvLayout::separate,
             4,
             2,
             128,
             0,
             {{0, 1, 300}, {2, 2, 5}, {1, 1, 0}}},
        Case{"decode_window", KvType::f16, KvLayout::separate, 4, 4, 256, 100, {{1, 1, 431}, {0, 1, 60}}},
        Case{"decode_vector_512", KvType::f16, KvLayout::vector, 16, 1, 512, 0, {{1, 1, 530}}},
        Case{"decode_q8_0", KvType::q8_0, KvLayout::separate, 4, 2, 64, 0, {{2, 1, 333}}},
        Case{"decode_vector_q8_0", KvType::q8_0, KvLayout::vector, 8, 1, 128, 0, {{2, 1, 333}}},
        Case{"decode_vector_f32", KvType::f32, KvLayout::vector, 16, 1, 512, 0, {{2, 1, 300}}},
        Case{"decode_vector_q8_0_512", KvType::q8_0, KvLayout::vector, 16, 1, 512, 0, {{2, 1, 270}}},
        Case{"decode_q8_0_512", KvType::q8_0, KvLayout::separate, 16, 1, 512, 0, {{2, 1, 40}}},
        Case{"decode_q8_0_32", KvType::q8_0, KvLayout::separate, 4, 2, 32, 0, {{2, 1, 40}}},
        Case{"decode_heads_of_16", KvType::f16, KvLayout::separate, 3, 1, 16, 20, {{2, 1, 40}}},
        Case{"decode_f32", KvType::f32, KvLayout::separate, 2, 1, 64, 0, {{0, 1, 270}}},
        Case{"decode_first_key", KvType::f16, KvLayout::separate, 4, 2, 64, 0, {{1, 1, 700, 290}}},
        Case{"decode_no_parts", KvType::f16, KvLayout::separate, 4, 2, 64, 0, {{1, 1, 700}}, 1},
        Case{"decode_groups_of_32", KvType::f32, KvLayout::separate, 32, 1, 32, 0, {{1, 1, 40}}},
        Case{"prefill_f16", KvType::f16, KvLayout::separate, 4, 2, 64, 0, {{1, 21, 290}}},
        Case{"prefill_window", KvType::f16, KvLayout::separate, 4, 2, 128, 40, {{1, 19, 101}, {0, 9, 0}}},
        Case{"prefill_window_f32", KvType::f32, KvLayout::separate, 2, 2, 48, 24, {{1, 60, 30}}},
        Case{"prefill_f16_48", KvType::f16, KvLayout::separate, 2, 2, 48, 24, {{1, 40, 30}}},
        Case{"prefill_window_q8_0",
             KvType::q8_0,
             KvLayout::separate,
             4,
             2,
             128,
             40,
             {{1, 19, 101}, {0, 9, 0}}},
        Case{"prefill_vector_512", KvType::f16, KvLayout::vector, 16, 1, 512, 0, {{1, 9, 40}}},
        Case{"prefill_vector_q8_0", KvType::q8_0, KvLayout::vector, 8, 1, 128, 0, {{1, 13, 40}}},
        Case{"prefill_vector_q8_0_512",
             KvType::q8_0,
             KvLayout::vector,
             16,
             1,
             512,
             0,
             {{1, 9, 40}, {0, 3, 0}}},
        Case{"prefill_vector_f32", KvType::f32, KvLayout::vector, 4, 1, 64, 0, {{1, 17, 20}}},
        Case{"prefill_q8_0", KvType::q8_0, KvLayout::separate, 2, 1, 256, 0, {{0, 12, 3}}}),
    [](const auto& of) { return of.param.name; });

TEST(AttentionBits, DoNotDependOnTheBatch) {
  const std::pair<KvType, KvLayout> caches[] = {
      {KvType::f16, KvLayout::separate}, {KvType::q8_0, KvLayout::vector}, {KvType::f32, KvLayout::separate}};
  for (const auto& [type, layout] : caches) {
    const Fixture fixture({"", type, layout, 4, 2, 64, 0, {{1, 12, 600}, {0, 3, 255}}});
    std::vector<float> expected;
    for (std::uint64_t seed = 0; seed < 2; ++seed) {
      OnDevice on_device(fixture, seed);
      const auto whole = on_device.attend(0, fixture.rows, 6);  // a block merges the parts of its rows
      if (seed == 0) expected = whole;
      EXPECT_EQ(whole, expected) << "seed " << seed;
      const std::size_t row_elems = std::size_t{4} * 64;
      for (const std::uint32_t n : {1u, 3u, 8u}) {  // parts are merged by another kernel
        const auto some = on_device.attend(4, n, 6);
        const std::vector<float> same(expected.begin() + 4 * row_elems,
                                      expected.begin() + (4 + n) * row_elems);
        EXPECT_EQ(some, same) << n << " rows";
      }
    }
  }
}

/// What the CPU stage does to the heads of one row.
struct CpuHeads {
  std::vector<float> q;
  std::vector<std::byte> staging;

  CpuHeads(const Fixture& fixture, bool has_v) : q(fixture.q), staging(fixture.staging.size()) {
    const auto& half = fixture.half;
    const std::uint32_t dim = half.head_dim;
    for (const auto& sequence : fixture.sequences) {
      for (std::uint32_t r = sequence.first_row; r < sequence.first_row + sequence.rows; ++r) {
        const std::uint64_t position = sequence.first_position + (r - sequence.first_row);
        std::vector<float> cos(dim / 2), sin(dim / 2);
        cpu_kernels().rotation(half.inv_freq, fixture.rotated_pairs(), position, cos.data(), sin.data());
        const auto norm_and_rotate = [&](const float* weight, float* head) {
          cpu_kernels().rms_norm(head, weight, dim, 1e-6f, head);
          cpu_kernels().rotate(cos.data(), sin.data(), fixture.rotated_pairs(), dim, head);
        };
        for (std::uint32_t h = 0; h < half.heads; ++h) {
          float* head = q.data() + (std::size_t{r} * half.heads + h) * dim;
          norm_and_rotate(half.q_norm, head);
          cpu_kernels().round_query(half.attention_scale, half.kv.type, dim, head);
        }
        for (std::size_t h = 0; h < half.kv_heads; ++h) {
          const std::size_t at = (std::size_t{r} * half.kv_heads + h) * dim;
          std::vector<float> key(fixture.k.begin() + at, fixture.k.begin() + at + dim);
          std::vector<float> value(dim);
          cpu_kernels().rms_norm(has_v ? fixture.v.data() + at : key.data(), nullptr, dim, 1e-6f,
                                 value.data());
          norm_and_rotate(half.k_norm, key.data());
          std::byte* row = staging.data() + r * half.kv.row_bytes;
          const bool keeps_keys = half.kv.layout == KvLayout::separate;
          const std::size_t values_at = keeps_keys ? std::size_t{half.kv_heads} * dim : 0;
          const auto byte_of = [&](std::size_t elem) { return row + cpu::kv_bytes(half.kv.type, elem); };
          if (keeps_keys) cpu_kernels().encode_kv(key.data(), dim, half.kv.type, byte_of(h * dim));
          cpu_kernels().encode_kv(value.data(), dim, half.kv.type, byte_of(values_at + h * dim));
        }
      }
    }
  }
};

std::vector<double> decoded(const Fixture& fixture, const std::vector<std::byte>& rows) {
  std::vector<double> values;
  const std::size_t size = fixture.half.kv.type == KvType::f32   ? 4
                           : fixture.half.kv.type == KvType::f16 ? 2
                                                                 : 34;
  for (std::size_t at = 0; at < rows.size(); at += size) {
    float number = 0;
    std::uint16_t half = 0;
    std::memcpy(&half, rows.data() + at, 2);
    if (size == 4) std::memcpy(&number, rows.data() + at, 4);
    if (size == 4) values.push_back(number);
    if (size == 2) values.push_back(cpu::half_to_float(half));
    for (std::size_t i = 2; size == 34 && i < 34; ++i) {
      values.push_back(cpu::half_to_float(half) *
                       static_cast<double>(static_cast<std::int8_t>(rows[at + i])));
    }
  }
  return values;
}

class Heads : public testing::TestWithParam<std::tuple<KvType, KvLayout, std::uint32_t>> {};

TEST_P(Heads, AreNormedRotatedAndRoundedAsOnTheCpu) {
  const auto [type, layout, head_dim] = GetParam();
  const Fixture fixture({"", type, layout, 4, 2, head_dim, 0, {{1, 3, 1500}, {0, 1, 77}}});
  const bool has_v = layout == KvLayout::separate;
  OnDevice on_device(fixture, 3);
  cuda::HeadStep heads;
  heads.half = on_device.half;
  heads.step = on_device.step;
  heads.q = on_device.q;
  heads.k = on_device.keep(fixture.k);
  heads.v = has_v ? on_device.keep(fixture.v) : nullptr;
  heads.staging = on_device.staging;
  cuda::finish_heads(on_device.stream, heads);

  const CpuHeads expected(fixture, has_v);
  const auto q = on_device.read_back(on_device.q, fixture.q.size());
  // Arithmetic in another order: some roundings of a pair of order one, and what is stored with fewer bits
  // may round to its neighbour.
  const double unit = type == KvType::f32 ? 1e-6 : 1.0 / 1024;
  for (std::size_t i = 0; i < q.size(); ++i) {
    ASSERT_NEAR(q[i], expected.q[i], 2e-6 + unit * std::fabs(expected.q[i]));
  }
  const auto actual_kv = decoded(fixture, on_device.read_back(on_device.staging, fixture.staging.size()));
  const auto expected_kv = decoded(fixture, expected.staging);
  for (std::size_t i = 0; i < actual_kv.size(); ++i) {
    const double step = type == KvType::q8_0 ? 4.0 / 127 : 2e-6 + unit * std::fabs(expected_kv[i]);
    ASSERT_NEAR(actual_kv[i], expected_kv[i], step) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Heads,
                         testing::Combine(testing::Values(KvType::f32, KvType::f16, KvType::q8_0),
                                          testing::Values(KvLayout::separate, KvLayout::vector),
                                          testing::Values(64, 256, 512)));

TEST(CommitRows, PutsEveryRowIntoItsCell) {
  for (const std::uint32_t window : {0u, 24u}) {
    for (const auto type : {KvType::f16, KvType::q8_0}) {
      const Fixture fixture({"", type, KvLayout::separate, 2, 1, 32, window, {{1, 60, 30}, {0, 2, 5}}});
      OnDevice on_device(fixture, 1);
      cuda::HeadStep heads;
      heads.half = on_device.half;
      heads.step = on_device.step;
      heads.staging = on_device.staging;
      cuda::commit_rows(on_device.stream, heads);

      auto expected = fixture.cache;
      const std::size_t bytes = fixture.half.kv.row_bytes;
      for (const auto& sequence : fixture.sequences) {  // in order: the last row of a cell stays
        for (std::uint32_t r = 0; r < sequence.rows; ++r) {
          const auto cell = cpu::kv_cell(fixture.half.kv, sequence, sequence.first_position + r);
          std::memcpy(expected.data() + cell * bytes,
                      fixture.staging.data() + (sequence.first_row + r) * bytes, bytes);
        }
      }
      EXPECT_EQ(on_device.read_back(on_device.half.kv.rows, expected.size()), expected);
    }
  }
}

TEST(Rotation, KeepsItsPrecisionAtFarPositions) {
  const Fixture fixture({"", KvType::f32, KvLayout::separate, 1, 1, 64, 0, {{0, 1, 0}}});
  OnDevice on_device(fixture, 0);
  for (const std::uint64_t position : {262143u, 100003u, 1u}) {
    StepRow row;
    row.position = row.first_position = position;
    row.end_row = 1;
    cuda::HeadStep heads;
    heads.half = on_device.half;
    heads.step = {on_device.keep(std::vector<StepRow>{row}), nullptr, 1};
    const DeviceMemory q = upload<float>(on_device.device, on_device.stream, fixture.q);
    heads.q = as<float>(q);
    heads.k = on_device.keep(fixture.k);
    heads.v = on_device.keep(fixture.v);
    heads.staging = on_device.staging;
    heads.half.attention_scale = 1.0f;
    cuda::finish_heads(on_device.stream, heads);
    const auto actual = download<float>(on_device.device, on_device.stream, q, 64);
    double squares = 0;
    for (const float value : fixture.q) squares += static_cast<double>(value) * value;
    const double factor = 1 / std::sqrt(squares / 64 + 1e-6);
    for (std::size_t i = 0; i < 24; ++i) {
      const double a = fixture.q[i] * factor * fixture.q_norm[i];
      const double b = fixture.q[i + 32] * factor * fixture.q_norm[i + 32];
      const double angle = std::fmod(static_cast<double>(position) * fixture.inv_freq[i], 2 * M_PI);
      const double size = std::hypot(a, b) + 0.1;
      EXPECT_NEAR(actual[i], a * std::cos(angle) - b * std::sin(angle), 1e-6 * size) << position << " " << i;
      EXPECT_NEAR(actual[i + 32], a * std::sin(angle) + b * std::cos(angle), 1e-6 * size) << position;
    }
  }
}

}  // namespace
}  // namespace tandem::cuda_test
