"""Q4_0 and Q6_K, as values (for training on rounded weights) and as bytes (for the file); also Q8_0 bytes."""

import numpy as np
import torch


def half(x: torch.Tensor) -> torch.Tensor:
    """Round to the fp16 scale that the file stores."""
    return x.to(torch.float16).float()


def divide(x: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """x / scale, and zero where the scale is zero."""
    return torch.where(
        scale == 0, torch.zeros_like(x), x / torch.where(scale == 0, torch.ones_like(scale), scale)
    )


def signed_peak(x: torch.Tensor) -> torch.Tensor:
    """The element of largest magnitude of each row, with its sign."""
    return x.gather(-1, x.abs().argmax(-1, keepdim=True))


def q4_0_parts(w: torch.Tensor):
    """Blocks of 32: scale d [blocks, 1] and integers q [blocks, 32] in -8..7, value d * q."""
    blocks = w.detach().float().reshape(-1, 32)
    d = half(signed_peak(blocks) / -8)
    return d, divide(blocks, d).round().clamp(-8, 7)


def q6_k_parts(w: torch.Tensor):
    """Blocks of 256: scale d [blocks, 1, 1], group scales [blocks, 16, 1] (int8), integers [blocks, 16, 16] in -32..31."""
    groups = w.detach().float().reshape(-1, 16, 16)
    wanted = signed_peak(groups) / -32
    d = half(wanted.abs().amax(1, keepdim=True) / 127)
    scales = divide(wanted, d).round().clamp(-128, 127)
    return d, scales, divide(groups, d * scales).round().clamp(-32, 31)


def q4_0_values(w: torch.Tensor) -> torch.Tensor:
    d, q = q4_0_parts(w)
    return (d * q).reshape(w.shape)


def q6_k_values(w: torch.Tensor) -> torch.Tensor:
    d, scales, q = q6_k_parts(w)
    return (d * scales * q).reshape(w.shape)


def fp16_bytes(d: torch.Tensor) -> np.ndarray:
    return d.reshape(-1, 1).numpy().astype(np.float16).view(np.uint8)


def q4_0_bytes(w: torch.Tensor) -> np.ndarray:
    """Rows of 18-byte blocks: fp16 scale, then 16 bytes with elements j (low) and j + 16 (high)."""
    d, q = q4_0_parts(w)
    n = (q + 8).to(torch.uint8).numpy()
    return np.hstack([fp16_bytes(d), n[:, :16] | n[:, 16:] << 4]).reshape(w.shape[0], -1)


def q6_k_bytes(w: torch.Tensor) -> np.ndarray:
    """Rows of 210-byte blocks: low nibbles [128], high pairs [64], int8 scales [16], fp16 scale."""
    d, scales, q = q6_k_parts(w)
    n = (q + 32).to(torch.uint8).numpy().reshape(-1, 2, 4, 32)  # block, half, quarter, lane
    low, high = n & 15, n >> 4
    ql = np.stack([low[:, :, 0] | low[:, :, 2] << 4, low[:, :, 1] | low[:, :, 3] << 4], axis=2)
    qh = high[:, :, 0] | high[:, :, 1] << 2 | high[:, :, 2] << 4 | high[:, :, 3] << 6
    count = n.shape[0]
    return np.hstack(
        [
            ql.reshape(count, 128),
            qh.reshape(count, 64),
            scales.reshape(count, 16).numpy().astype(np.int8).view(np.uint8),
            fp16_bytes(d),
        ]
    ).reshape(w.shape[0], -1)


def q8_0_bytes(w: torch.Tensor) -> np.ndarray:
    """Rows of 34-byte blocks: fp16 scale, then 32 int8."""
    blocks = w.detach().float().reshape(-1, 32)
    d = half(blocks.abs().amax(1, keepdim=True) / 127)
    q = divide(blocks, d).round().clamp(-127, 127).numpy().astype(np.int8)
    return np.hstack([fp16_bytes(d), q.view(np.uint8)]).reshape(w.shape[0], -1)


class Rounding:
    """While entered, parameters hold their rounded values; gradients then apply to the exact ones (straight through)."""

    def __init__(self, roundings):
        self.roundings = roundings

    def __enter__(self):
        with torch.no_grad():
            self.exact = [p.detach().clone() for p, _ in self.roundings]
            for p, values in self.roundings:
                p.copy_(values(p))

    def __exit__(self, *_):
        with torch.no_grad():
            for (p, _), exact in zip(self.roundings, self.exact):
                p.copy_(exact)
