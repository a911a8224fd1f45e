"""Q4_0, Q6_K and Q8_0: values for training on rounded weights, and bytes for the file.  Arrays are fp32 matrices."""

import numpy as np


def half(x: np.ndarray) -> np.ndarray:
    """Round to the fp16 scale that the file stores."""
    return x.astype(np.float16).astype(np.float32)


def divide(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """x / scale, and zero where the scale is zero."""
    return np.divide(x, scale, out=np.zeros_like(x), where=scale != 0)


def signed_peak(x: np.ndarray) -> np.ndarray:
    """The element of largest magnitude of each row, with its sign."""
    return np.take_along_axis(x, np.abs(x).argmax(-1)[..., None], -1)


def q4_0_parts(w: np.ndarray):
    """Blocks of 32: scale d [blocks, 1] and integers q [blocks, 32] in -8..7, value d * q."""
    blocks = w.reshape(-1, 32)
    d = half(signed_peak(blocks) / -8)
    return d, divide(blocks, d).round().clip(-8, 7)


def q6_k_parts(w: np.ndarray):
    """Blocks of 256: scale d [blocks, 1, 1], group scales [blocks, 16, 1] (int8), integers [blocks, 16, 16] in -32..31."""
    groups = w.reshape(-1, 16, 16)
    wanted = signed_peak(groups) / -32
    d = half(np.abs(wanted).max(1, keepdims=True) / 127)
    scales = divide(wanted, d).round().clip(-128, 127)
    return d, scales, divide(groups, d * scales).round().clip(-32, 31)


def q8_0_parts(w: np.ndarray):
    """Blocks of 32: scale d [blocks, 1] and integers q [blocks, 32] in -127..127, value d * q."""
    blocks = w.reshape(-1, 32)
    d = half(np.abs(blocks).max(1, keepdims=True) / 127)
    return d, divide(blocks, d).round().clip(-127, 127)


def q4_0_values(w: np.ndarray) -> np.ndarray:
    d, q = q4_0_parts(w)
    return (d * q).reshape(w.shape)


def q6_k_values(w: np.ndarray) -> np.ndarray:
    d, scales, q = q6_k_parts(w)
    return (d * scales * q).reshape(w.shape)


def q8_0_values(w: np.ndarray) -> np.ndarray:
    d, q = q8_0_parts(w)
    return (d * q).reshape(w.shape)


def fp16_bytes(d: np.ndarray) -> np.ndarray:
    return d.reshape(-1, 1).astype(np.float16).view(np.uint8)


def q4_0_bytes(w: np.ndarray) -> np.ndarray:
    """Rows of 18-byte blocks: fp16 scale, then 16 bytes with elements j (low) and j + 16 (high)."""
    d, q = q4_0_parts(w)
    n = (q + 8).astype(np.uint8)
    return np.hstack([fp16_bytes(d), n[:, :16] | n[:, 16:] << 4]).reshape(w.shape[0], -1)


def q6_k_bytes(w: np.ndarray) -> np.ndarray:
    """Rows of 210-byte blocks: low nibbles [128], high pairs [64], int8 scales [16], fp16 scale."""
    d, scales, q = q6_k_parts(w)
    n = (q + 32).astype(np.uint8).reshape(-1, 2, 4, 32)  # block, half, quarter, lane
    low, high = n & 15, n >> 4
    ql = np.stack([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=2)
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    count = n.shape[0]
    group_scales = scales.reshape(count, 16).astype(np.int8).view(np.uint8)
    rows = [ql.reshape(count, 128), qh.reshape(count, 64), group_scales, fp16_bytes(d)]
    return np.hstack(rows).reshape(w.shape[0], -1)


def q8_0_bytes(w: np.ndarray) -> np.ndarray:
    """Rows of 34-byte blocks: fp16 scale, then 32 int8."""
    d, q = q8_0_parts(w)
    return np.hstack([fp16_bytes(d), q.astype(np.int8).view(np.uint8)]).reshape(w.shape[0], -1)


def f32_bytes(w: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(w, dtype="<f4").view(np.uint8)
