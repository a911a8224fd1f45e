"""Block type fixtures: random but valid blocks and what the gguf package makes of them, bit for bit."""

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize

import container
from paths import DATA

BLOCKS = 64
TYPES = [T.F16, T.BF16, T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K,
         T.IQ4_NL, T.IQ4_XS, T.MXFP4]
# Byte offsets of the fp16 scale fields of a block.
HALF_FIELDS = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82],
               T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0]}
# Zero, negative zero, smallest and largest subnormal, smallest normal, one, largest finite; both signs.
EDGE_HALVES = np.array([0x0000, 0x8000, 0x0001, 0x8001, 0x03FF, 0x83FF, 0x0400, 0x8400, 0x3C00, 0xBC00, 0x7BFF,
                        0xFBFF], np.uint16)


def random_halves(rng, count):
    """Finite fp16 bit patterns of every magnitude and both signs, the edge cases first."""
    halves = rng.integers(0, 1 << 16, count).astype(np.uint16)
    infinite = (halves & 0x7C00) == 0x7C00
    halves[infinite] &= 0xBFFF
    edges = min(len(EDGE_HALVES), count)
    halves[:edges] = EDGE_HALVES[:edges]
    return halves


def scalar_rows(rng, qtype):
    """F16 and BF16: 64 rows of 32 elements; every fp16 exponent occurs, BF16 has subnormals too."""
    bits = random_halves(rng, BLOCKS * 32)
    if qtype == T.BF16:
        bits = rng.integers(0, 1 << 16, BLOCKS * 32).astype(np.uint16)
        bits[(bits & 0x7F80) == 0x7F80] &= 0xBFFF
        bits[:4] = [0x0000, 0x8000, 0x0001, 0x807F]
    return bits.view(np.uint8).reshape(BLOCKS, 64)


def block_rows(rng, qtype):
    """Random bytes in every field; all bits clear and all bits set in the first blocks; finite fp16 scales."""
    _, block_bytes = GGML_QUANT_SIZES[qtype]
    blocks = rng.integers(0, 256, (BLOCKS, block_bytes)).astype(np.uint8)
    blocks[8] = 0x00
    blocks[9] = 0xFF
    blocks[10] = 0x0F
    blocks[11] = 0xF0
    if qtype == T.MXFP4:  # the scale is an exponent: 255 means NaN, over 252 values overflow
        edges = [0, 1, 2, 3, 127, 128, 251, 252, 126, 120]
        blocks[:, 0] = np.concatenate([edges, rng.integers(100, 150, BLOCKS - len(edges))])
    for field, offset in enumerate(HALF_FIELDS.get(qtype, [])):
        halves = np.roll(random_halves(rng, BLOCKS), 5 * field)
        blocks[:, offset : offset + 2] = halves.view(np.uint8).reshape(BLOCKS, 2)
    return blocks


def gaussian_blocks(rng, qtype):
    """A quantised gaussian row for types the package can quantise, else no block."""
    elements, block_bytes = GGML_QUANT_SIZES[qtype]
    try:
        row = quantize(rng.standard_normal((8, max(elements, 32))).astype(np.float32) * 0.05, qtype)
    except NotImplementedError:
        return np.empty((0, block_bytes), np.uint8)
    return np.ascontiguousarray(row).view(np.uint8).reshape(8, -1)


def make():
    rng = np.random.default_rng(20)
    arrays = {}
    for qtype in TYPES:
        scalar = qtype in (T.F16, T.BF16)
        rows = scalar_rows(rng, qtype) if scalar else block_rows(rng, qtype)
        data = np.concatenate([rows, gaussian_blocks(rng, qtype)])
        with np.errstate(over="ignore"):
            values = dequantize(data, qtype).astype(np.float32, copy=False)
        assert np.isfinite(values).all(), qtype.name
        arrays[f"{qtype.name}.blocks"] = data
        arrays[f"{qtype.name}.values"] = values
    container.write(DATA / "blocks.fixture", arrays)
    print(f"blocks.fixture: {', '.join(qtype.name for qtype in TYPES)}")


if __name__ == "__main__":
    make()
