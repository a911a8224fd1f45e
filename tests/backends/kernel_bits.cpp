// Prints digests of what the kernels give: a line for each operation, block type, layout and number of rows.
// It fails unless all kernel sets that this machine runs give the same.  What it prints on one architecture
// is compared with what it prints on another (arm/CMakeLists.txt), so that its numbers come from integers:
// what libm and distributions other than uniform ones give may differ in the last bit.

#include <cstdio>
#include <cstring>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "backends/cpu/kernel_set.h"
#include "backends/cpu/kv_rows.h"
#include "backends/cpu/quantised_row.h"
#include "backends/cpu/repacked.h"
#include "tests/backends/random_blocks.h"

namespace tandem::cpu {
namespace {

using device::BlockType;
using device::KvLayout;
using device::KvType;

/// Digests by what they are of.
using Digests = std::map<std::string, std::uint64_t>;

/// FNV-1a.
template <class T>
std::uint64_t digest_of(const std::vector<T>& values) {
  std::uint64_t digest = 0xcbf29ce484222325U;
  const auto* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) digest = (digest ^ bytes[i]) * 0x100000001b3U;
  return digest;
}

/// Multiples of 2^-12 in [-4, 4).
std::vector<float> random_floats(std::size_t n, std::mt19937& random) {
  std::vector<float> values(n);
  for (float& value : values) value = (static_cast<float>(random() >> 17) - 0x1p14F) * 0x1p-12F;
  return values;
}

/// Rows of activations as a type of weights takes them.
struct ActivationRows {
  std::vector<std::byte> bytes;
  std::size_t stride;

  ActivationRows(const KernelSet& kernels, BlockType type, const std::vector<float>& x, std::uint32_t in) {
    const QuantisedLayout layout{in};
    stride = takes_floats(type) ? in * sizeof(float) : layout.row_bytes();
    bytes.resize(x.size() / in * stride);
    for (std::size_t at = 0, row = 0; at < x.size(); at += in, row += stride) {
      if (takes_floats(type)) {
        std::memcpy(&bytes[row], &x[at], stride);
      } else {
        kernels.quantise(&x[at], layout, 0, in, &bytes[row]);
      }
    }
  }
};

/// Weights in a layout: repacked, or as they are where there is no repacker.
struct Weights {
  std::vector<std::byte> bytes;
  device::Matrix view;

  Weights(const test_support::RandomMatrix& rows, const device::Repacker* repacker)
      : bytes(rows.data), view(rows.view) {
    if (repacker != nullptr) {
      repacker->repack_rows(bytes.data(), rows.view, 0, rows.view.out);
      view.layout = repacker->layout();
    }
    view.data = bytes.data();
  }
};

void add_products(const KernelSet& kernels, BlockType type, Digests& digests) {
  constexpr std::uint32_t kIn = 768, kOut = 48;
  const std::pair<const char*, const device::Repacker*> layouts[] = {
      {"rows", nullptr}, {"planes", &plane_repacker()}, {"panels", &panel_repacker()}};
  std::mt19937 random(1);
  const test_support::RandomMatrix matrix(type, kIn, kOut, random);
  for (const std::uint32_t n : {1U, 3U, 8U, 29U}) {
    const ActivationRows x(kernels, type, random_floats(std::size_t{n} * kIn, random), kIn);
    for (const auto& [layout, repacker] : layouts) {
      const Weights w(matrix, repacker);
      std::vector<float> y(std::size_t{n} * kOut);
      kernels.multiply[static_cast<std::size_t>(type)](w.view, 0, kOut, {x.bytes.data(), x.stride, n},
                                                       y.data(), kOut);
      digests[std::string(test_support::block_type_name(type)) + " in " + layout + " times " +
              std::to_string(n)] = digest_of(y);
    }
    digests[std::string("activations of ") + test_support::block_type_name(type)] = digest_of(x.bytes);
  }
}

void add_row_kernels(const KernelSet& kernels, Digests& digests) {
  constexpr std::uint32_t kN = 3 * 32 + 16;
  std::mt19937 random(2);
  const auto x = random_floats(kN, random), weight = random_floats(kN, random);
  std::vector<float> y(kN);
  kernels.rms_norm(x.data(), weight.data(), kN, 0x1p-20F, y.data());
  digests["rms_norm"] = digest_of(y);
  kernels.add_rms_norm(x.data(), weight.data(), kN, 0x1p-20F, 0.75F, y.data());
  digests["add_rms_norm"] = digest_of(y);
  y = x;
  kernels.gelu_multiply(y.data(), weight.data(), kN);
  digests["gelu_multiply"] = digest_of(y);
  y = x;
  kernels.softcap(y.data(), kN, 3.0F);
  digests["softcap"] = digest_of(y);
  for (const auto& [name, type] :
       {std::pair{"f32", KvType::f32}, {"f16", KvType::f16}, {"q8_0", KvType::q8_0}}) {
    y = x;
    kernels.round_query(0.3F, type, kN, y.data());
    digests[std::string("round_query ") + name] = digest_of(y);
    std::vector<std::byte> encoded(kv_bytes(type, kN / 32 * 32));
    kernels.encode_kv(x.data(), kN / 32 * 32, type, encoded.data());
    digests[std::string("encode_kv ") + name] = digest_of(encoded);
  }
}

/// One sequence of so many rows, all in staging: four heads, two KV heads.
void add_attention(const KernelSet& kernels, KvType type, KvLayout layout, Digests& digests,
                   const std::string& name) {
  constexpr std::uint32_t kHeads = 4, kKvHeads = 2, kHeadDim = 96, kPairs = 20, kPositions = kPieceTok + 45;
  std::mt19937 random(3);
  std::vector<double> inv_freq(kHeadDim / 2, 0.0);
  for (std::size_t i = 0; i < kPairs; ++i) inv_freq[i] = 1.0 / static_cast<double>(1 + i * i);
  const auto k_norm = random_floats(kHeadDim, random);
  auto q = random_floats(std::size_t{kPositions} * kHeads * kHeadDim, random);
  kernels.round_query(0.1F, type, static_cast<std::uint32_t>(q.size()), q.data());
  const std::uint32_t elems = (layout == KvLayout::separate ? 2 : 1) * kKvHeads * kHeadDim;
  device::AttentionHalf half;
  half.heads = kHeads;
  half.kv_heads = kKvHeads;
  half.head_dim = kHeadDim;
  half.window = 100;
  half.k_norm = k_norm.data();
  half.inv_freq = inv_freq.data();
  half.kv.type = type;
  half.kv.layout = layout;
  half.kv.row_bytes = kv_bytes(type, elems);
  std::vector<std::byte> staging(kPositions * half.kv.row_bytes);
  for (std::size_t at = 0; at < staging.size(); at += half.kv.row_bytes) {
    kernels.encode_kv(random_floats(elems, random).data(), elems, type, &staging[at]);
  }
  std::vector<float> out(q.size());
  const device::SequenceRows sequence{0, 0, kPositions, 0, 0, nullptr};
  AttendTask task;
  task.half = &half;
  task.sequence = &sequence;
  task.staging = staging.data();
  task.q = q.data();
  task.out = out.data();
  task.n_heads = kHeads / kKvHeads;
  task.rotated_pairs = kPairs;
  task.n_rows = 7;
  for (task.first_row = 0; task.first_row < kPositions; task.first_row += task.n_rows) {
    for (task.kv_head = 0; task.kv_head < kKvHeads; ++task.kv_head) {
      task.first_head = task.kv_head * task.n_heads;
      kernels.attend(task);
    }
  }
  static_assert(kPositions % 7 == 0);
  digests[name] = digest_of(out);
}

Digests digests_of(const KernelSet& kernels) {
  Digests digests;
  for (const BlockType type : test_support::kAllBlockTypes) add_products(kernels, type, digests);
  add_row_kernels(kernels, digests);
  add_attention(kernels, KvType::f16, KvLayout::separate, digests, "attend f16");
  add_attention(kernels, KvType::f16, KvLayout::vector, digests, "attend f16, one vector");
  add_attention(kernels, KvType::q8_0, KvLayout::separate, digests, "attend q8_0");
  add_attention(kernels, KvType::f32, KvLayout::separate, digests, "attend f32");
  return digests;
}

/// Whether all sets give what the first one gives, which is printed.
bool print_digests() {
  const auto sets = supported_kernel_sets();
  const auto expected = digests_of(*sets.front());
  bool all_agree = true;
  for (const KernelSet* set : sets) {
    for (const auto& [what, digest] : digests_of(*set)) {
      if (expected.at(what) == digest) continue;
      std::fprintf(stderr, "%s: %s differs from %s\n", what.c_str(), set->name, sets.front()->name);
      all_agree = false;
    }
    std::fprintf(stderr, "ran %s\n", set->name);
  }
  for (const auto& [what, digest] : expected) {
    std::printf("%016llx %s\n", static_cast<unsigned long long>(digest), what.c_str());
  }
  return all_agree;
}

}  // namespace
}  // namespace tandem::cpu

int main() {
  return tandem::cpu::print_digests() ? 0 : 1;
}
