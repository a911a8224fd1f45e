#pragma once

// What the lane operations of all registers share.  See simd.h.

#include <cstddef>
#include <cstdint>

#define TANDEM_INLINE [[gnu::always_inline]] inline

namespace tandem::cpu {
namespace {

/// Names the register type a function shall return.
template <class Vector>
struct As {};

/// The instructions that add up products of bytes.
enum class Dots {
  of_two,         ///< two neighbours, in int16
  of_four,        ///< four neighbours, in int32: unsigned weights times signed activations
  of_four_signed  ///< the same of signed weights
};

/// `value` in the bytes that have the one bit that `bits` has there, else 0.
template <class Bytes>
TANDEM_INLINE Bytes where_set(Bytes bytes, Bytes bits, Bytes value) {
  return ((bytes & bits) == bits) & value;
}

/// `bytes`, less `less` in those where `where` has the one bit that `bits` has there.
template <class Bytes>
TANDEM_INLINE Bytes subtract_where(Bytes bytes, Bytes where, Bytes bits, Bytes less) {
  return bytes - where_set(where, bits, less);
}

}  // namespace
}  // namespace tandem::cpu
