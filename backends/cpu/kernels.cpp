// One instruction set's kernels.  Compiled once per set, with other flags and another TANDEM_KERNEL_SET each
// time (CMakeLists.txt); all that it defines except that one function has internal linkage.

#include "backends/cpu/attend_kernel.h"
#include "backends/cpu/blocks.h"
#include "backends/cpu/float_multiply.h"
#include "backends/cpu/integer_multiply.h"
#include "backends/cpu/kernel_set.h"
#include "backends/cpu/row_kernels.h"

#if defined(__AVX512VNNI__)
#include "backends/cpu/tiles.h"
#endif

namespace tandem::cpu {
namespace {

constexpr std::size_t number(device::BlockType type) {
  return static_cast<std::size_t>(type);
}

constexpr KernelSet make_set(const char* name) {
  KernelSet set;
  set.name = name;
  set.quantise = quantise;
  set.multiply[number(device::BlockType::f32)] = multiply_floats<F32Elements>;
  set.multiply[number(device::BlockType::f16)] = multiply_floats<F16Elements>;
  set.multiply[number(device::BlockType::bf16)] = multiply_floats<BF16Elements>;
  for_each_block_format(
      [&](auto format) { set.multiply[number(format.kType)] = multiply_blocks<decltype(format)>; });
  set.rms_norm = rms_norm;
  set.add_rms_norm = add_rms_norm;
  set.gelu_multiply = gelu_multiply;
  set.softcap = softcap;
  set.rotation = rotation;
  set.rotate = rotate;
  set.round_query = round_query;
  set.encode_kv = encode_kv;
  set.attend = attend;
  set.merge_pieces = merge_pieces;
  return set;
}

#if defined(__AVX512VNNI__)
/// The same with tiles for many activation rows.
constexpr KernelSet make_tile_set() {
  KernelSet set = make_set("amx-int8");
  for_each_block_format([&](auto format) {
    set.multiply[number(format.kType)] = multiply_blocks_with_tiles<decltype(format)>;
  });
  return set;
}
#endif

}  // namespace

extern const KernelSet TANDEM_KERNEL_SET;
constexpr KernelSet TANDEM_KERNEL_SET = make_set(TANDEM_KERNEL_SET_NAME);

#if defined(__AVX512VNNI__)
extern const KernelSet kAmxInt8Kernels;
constexpr KernelSet kAmxInt8Kernels = make_tile_set();
#endif

}  // namespace tandem::cpu
