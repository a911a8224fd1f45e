#pragma once

#include "backends/cuda/formats.cuh"
#include "backends/device.h"

namespace tandem::cuda {

/// Calls `visit` with the format of a block type; false if `type` is none (F32, F16, BF16).
template <class Visitor>
bool for_block_type(device::BlockType type, Visitor visit) {
  using device::BlockType;
  switch (type) {
    case BlockType::f32:
    case BlockType::f16:
    case BlockType::bf16:
      return false;
    case BlockType::q4_0:
      return visit(Q4_0()), true;
    case BlockType::q4_1:
      return visit(Q4_1()), true;
    case BlockType::q5_0:
      return visit(Q5_0()), true;
    case BlockType::q5_1:
      return visit(Q5_1()), true;
    case BlockType::q8_0:
      return visit(Q8_0()), true;
    case BlockType::q2_k:
      return visit(Q2_K()), true;
    case BlockType::q3_k:
      return visit(Q3_K()), true;
    case BlockType::q4_k:
      return visit(Q4_K()), true;
    case BlockType::q5_k:
      return visit(Q5_K()), true;
    case BlockType::q6_k:
      return visit(Q6_K()), true;
    case BlockType::iq4_nl:
      return visit(IQ4_NL()), true;
    case BlockType::iq4_xs:
      return visit(IQ4_XS()), true;
    case BlockType::mxfp4:
      return visit(MXFP4()), true;
  }
  return false;
}

}  // namespace tandem::cuda
