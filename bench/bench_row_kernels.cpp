// Speed of the kernels over one row: norms, GeGLU, softcap, quantisation, rotation, rounding to KV types. One
// thread; the row lies in the nearest caches, as it does when a stage has just written it.  Time and elements
// a second, by kernel and row length.  TANDEM_KERNELS names a kernel set (kernel_set.h).

#include <cstdint>
#include <vector>

#include <benchmark/benchmark.h>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/quantised_row.h"

namespace {

using tandem::cpu::best_kernel_set;
using tandem::device::KvType;

/// Rows of `state`'s length; what kernels take and give.
struct Rows {
  explicit Rows(const benchmark::State& state)
      : elems(static_cast<std::uint32_t>(state.range(0))),
        x(elems, 0.5F),
        y(elems, 0.25F),
        weight(elems, 1.0F) {
    bytes.resize(tandem::cpu::QuantisedLayout{elems}.row_bytes() + elems * sizeof(float));
  }

  std::uint32_t elems;
  std::vector<float> x;
  std::vector<float> y;
  std::vector<float> weight;
  std::vector<std::byte> bytes;
};

/// Times kernel(rows) on rows that it may change: values stay finite whatever the number of times.
template <class Kernel>
void measure(benchmark::State& state, const Kernel& kernel) {
  Rows rows(state);
  for (auto _ : state) {
    kernel(rows);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * rows.elems);
}

void rms_norm(benchmark::State& state) {
  measure(state, [](Rows& r) {
    best_kernel_set().rms_norm(r.x.data(), r.weight.data(), r.elems, 1e-6F, r.y.data());
  });
}
void add_rms_norm(benchmark::State& state) {
  measure(state, [](Rows& r) {
    best_kernel_set().add_rms_norm(r.y.data(), r.weight.data(), r.elems, 1e-6F, 0.5F, r.x.data());
  });
}
void gelu_multiply(benchmark::State& state) {
  const std::vector<float> up(static_cast<std::size_t>(state.range(0)), 0.0F);  // no number ever gets tiny
  measure(state, [&](Rows& r) { best_kernel_set().gelu_multiply(r.x.data(), up.data(), r.elems); });
}
void softcap(benchmark::State& state) {
  measure(state, [](Rows& r) { best_kernel_set().softcap(r.x.data(), r.elems, 30.0F); });
}
void quantise(benchmark::State& state) {
  measure(state,
          [](Rows& r) { best_kernel_set().quantise(r.x.data(), {r.elems}, 0, r.elems, r.bytes.data()); });
}
void round_query(benchmark::State& state) {
  measure(state, [](Rows& r) { best_kernel_set().round_query(1.0F, KvType::f16, r.elems, r.x.data()); });
}
void encode_kv(benchmark::State& state, KvType type) {
  measure(state, [type](Rows& r) { best_kernel_set().encode_kv(r.x.data(), r.elems, type, r.bytes.data()); });
}
void rotation(benchmark::State& state) {
  const std::vector<double> inv_freq(static_cast<std::size_t>(state.range(0)) / 2, 0.25);
  measure(state, [&](Rows& r) {
    best_kernel_set().rotation(inv_freq.data(), r.elems / 2, 100'000, r.x.data(), r.y.data());
  });
}
void rotate(benchmark::State& state) {
  const std::vector<float> sin(static_cast<std::size_t>(state.range(0)), 0.0F);  // a turn of nothing
  measure(state, [&](Rows& r) {
    best_kernel_set().rotate(r.weight.data(), sin.data(), r.elems / 2, r.elems, r.x.data());
  });
}

/// A head of Gemma's layers.
void heads(benchmark::internal::Benchmark* bench) {
  bench->ArgName("elements")->Arg(128)->Arg(256)->Arg(512);
}
/// Widths of 12B models.
void widths(benchmark::internal::Benchmark* bench) {
  bench->ArgName("elements")->Arg(3840)->Arg(15'360);
}

}  // namespace

BENCHMARK(rms_norm)->Apply(heads)->Apply(widths);
BENCHMARK(add_rms_norm)->Apply(widths);
BENCHMARK(gelu_multiply)->Apply(widths);
BENCHMARK(softcap)->Apply(widths);
BENCHMARK(quantise)->Apply(widths);
BENCHMARK(rotation)->Apply(heads);
BENCHMARK(rotate)->Apply(heads);
BENCHMARK(round_query)->Apply(heads);
BENCHMARK_CAPTURE(encode_kv, f16, KvType::f16)->Apply(heads);
BENCHMARK_CAPTURE(encode_kv, q8_0, KvType::q8_0)->Apply(heads);

BENCHMARK_MAIN();
