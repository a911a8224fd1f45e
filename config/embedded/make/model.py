"""Gemma 4 (dense) in PyTorch, small: sliding and global layers, V without weight norm, K = V on global layers."""

import contextlib
import dataclasses
import math

import torch
import torch.nn.functional as F
from torch import nn

import ops
import quant


@dataclasses.dataclass
class Shape:
    """Hyper-parameters; every `global_every`-th layer is global, the last one always."""

    layers: int = 12
    global_every: int = 6
    width: int = 256
    ffn: int = 1024
    heads: int = 4
    sliding_kv_heads: int = 2
    sliding_head_dim: int = 64
    global_kv_heads: int = 1
    global_head_dim: int = 128
    window: int = 128
    vocabulary: int = 4096
    context: int = 2048
    eps: float = 1e-6
    softcap: float = 30.0
    sliding_theta: float = 1e4
    global_theta: float = 1e6
    rotated_part: float = 0.25

    def is_sliding(self, layer: int) -> bool:
        return (layer + 1) % self.global_every != 0 and layer + 1 != self.layers

    def frequency_divisors(self) -> torch.Tensor:
        """rope_freqs of global layers: 1 for pairs that rotate, 1e30 for pairs that do not."""
        pairs = self.global_head_dim // 2
        rotating = int(self.rotated_part * pairs)
        return torch.cat([torch.ones(rotating), torch.full((pairs - rotating,), 1e30)])


def rms(x: torch.Tensor, weight: "torch.Tensor | None", eps: float) -> torch.Tensor:
    return ops.Rms.apply(x, weight, eps)


def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax attention with scale 1; q, k, v [batch, heads, rows, d], mask additive and broadcast."""
    scores = q @ k.transpose(-1, -2) + mask.to(q.dtype)
    return torch.softmax(scores, dim=-1).to(v.dtype) @ v


def sliding_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, window: int) -> torch.Tensor:
    """Each query sees itself and the window - 1 keys before it; works in blocks of one window.

    q, k, v [batch, time, heads, d] with time a multiple of `window`; a block needs its own and the previous block's keys.
    """
    batch, time, heads, d = q.shape
    blocks = time // window

    def split(x):
        return x.reshape(batch, blocks, window, heads, d)

    def with_previous(x):
        x = split(x)
        return torch.cat([F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))[:, :-1], x], dim=2).reshape(
            -1, 2 * window, heads, d
        )

    row = torch.arange(window)[:, None]
    key = torch.arange(2 * window)[None, :]
    visible = (key > row) & (key <= row + window)
    masks = torch.stack([visible & (key >= window)] + [visible] * (blocks - 1))
    mask = torch.zeros(masks.shape).masked_fill(~masks, -1e30)[:, None].repeat(batch, 1, 1, 1).to(q.device)
    q, k, v = (
        split(q).reshape(-1, window, heads, d).transpose(1, 2),
        with_previous(k).transpose(1, 2),
        with_previous(v).transpose(1, 2),
    )
    return attend(q, k, v, mask).transpose(1, 2).reshape(batch, time, heads * d)


def global_attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Causal attention over everything before; q, k, v [batch, time, heads, d]."""
    batch, time, heads, d = q.shape
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    o = attend(q, k, v, torch.full((time, time), -1e30, device=q.device).triu(1))
    return o.transpose(1, 2).reshape(batch, time, heads * d)


class Layer(nn.Module):
    def __init__(self, shape: Shape, index: int):
        super().__init__()
        self.shape, self.sliding = shape, shape.is_sliding(index)
        self.d = shape.sliding_head_dim if self.sliding else shape.global_head_dim
        self.kv_heads = shape.sliding_kv_heads if self.sliding else shape.global_kv_heads
        linear = lambda rows, columns: nn.Linear(columns, rows, bias=False)
        self.attn_q = linear(shape.heads * self.d, shape.width)
        self.attn_k = linear(self.kv_heads * self.d, shape.width)
        self.attn_v = linear(self.kv_heads * self.d, shape.width) if self.sliding else None
        self.attn_output = linear(shape.width, shape.heads * self.d)
        self.ffn_gate = linear(shape.ffn, shape.width)
        self.ffn_up = linear(shape.ffn, shape.width)
        self.ffn_down = linear(shape.width, shape.ffn)
        vector = lambda n, value: nn.Parameter(torch.full((n,), value))
        self.attn_norm, self.ffn_norm = vector(shape.width, 1.0), vector(shape.width, 1.0)
        self.post_attention_norm, self.post_ffw_norm = vector(shape.width, 0.4), vector(shape.width, 0.4)
        self.attn_q_norm, self.attn_k_norm = vector(self.d, self.d**-0.25), vector(self.d, self.d**-0.25)
        self.layer_output_scale = vector(1, 1.0)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        batch, time, _ = x.shape
        eps = self.shape.eps
        half = torch.bfloat16 if torch.is_autocast_enabled() or autocast_on_cpu() else torch.float32
        a = rms(x, self.attn_norm, eps).to(half)
        q = self.attn_q(a).view(batch, time, self.shape.heads, self.d)
        r = self.attn_k(a).view(batch, time, self.kv_heads, self.d)
        u = self.attn_v(a).view(batch, time, self.kv_heads, self.d) if self.sliding else r
        q = ops.Rotate.apply(rms(q, self.attn_q_norm, eps), cos, sin)
        k = ops.Rotate.apply(rms(r, self.attn_k_norm, eps), cos, sin)
        v = rms(u, None, eps)
        group = self.shape.heads // self.kv_heads
        q, k, v = q.to(half), k.to(half).repeat_interleave(group, 2), v.to(half).repeat_interleave(group, 2)
        o = sliding_attention(q, k, v, self.shape.window) if self.sliding else global_attention(q, k, v)
        x = x + rms(self.attn_output(o), self.post_attention_norm, eps)
        f = rms(x, self.ffn_norm, eps).to(half)
        z = self.ffn_down(ops.GatedGelu.apply(self.ffn_gate(f), self.ffn_up(f)))
        x = x + rms(z, self.post_ffw_norm, eps)
        return x * self.layer_output_scale


def autocast_on_cpu() -> bool:
    return torch.is_autocast_cpu_enabled()


class Gemma4(nn.Module):
    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = shape
        self.token_embd = nn.Parameter(torch.randn(shape.vocabulary, shape.width) * 0.04)
        self.layers = nn.ModuleList(Layer(shape, i) for i in range(shape.layers))
        self.output_norm = nn.Parameter(torch.ones(shape.width))
        self.register_buffer("sliding_angles", self.angles(sliding=True), persistent=False)
        self.register_buffer("global_angles", self.angles(sliding=False), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=module.in_features**-0.5)

    def angles(self, sliding: bool):
        """cos and sin [context, 1, d/2] of the rotary embedding of one layer kind."""
        s = self.shape
        d, theta = (s.sliding_head_dim, s.sliding_theta) if sliding else (s.global_head_dim, s.global_theta)
        frequency = theta ** (-torch.arange(0, d, 2, dtype=torch.float64) / d)
        if not sliding:
            frequency = frequency / s.frequency_divisors().double()
        angle = torch.arange(s.context, dtype=torch.float64)[:, None] * frequency
        return torch.stack([angle.cos(), angle.sin()]).float()[:, :, None]

    def hidden(self, tokens: torch.Tensor) -> torch.Tensor:
        """Rows [batch, time, width] after the output norm; `tokens` [batch, time], time a multiple of the window."""
        time = tokens.shape[1]
        x = F.embedding(tokens, self.token_embd) * math.sqrt(self.shape.width)
        for layer in self.layers:
            cos, sin = self.sliding_angles if layer.sliding else self.global_angles
            x = layer(x, cos[:time], sin[:time])
        return rms(x, self.output_norm, self.shape.eps)

    def logits(self, hidden: torch.Tensor) -> torch.Tensor:
        """softcap * tanh(l / softcap), written with the logistic function."""
        l = F.linear(hidden, self.token_embd).float()
        return 2 * self.shape.softcap * torch.sigmoid(l * (2 / self.shape.softcap)) - self.shape.softcap

    def losses(self, hidden: torch.Tensor, targets: torch.Tensor, weights: torch.Tensor, half: torch.dtype):
        """Next-token losses [n] and their weighted mean, which alone can be differentiated; products in `half`."""
        flat = hidden.flatten(0, -2)
        return ops.CappedLosses.apply(flat, self.token_embd, targets, weights, self.shape.softcap, half)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Logits [batch, time, vocabulary] for any length; pads to a multiple of the window on the right."""
        time = tokens.shape[1]
        padded = F.pad(tokens, (0, -time % self.shape.window))
        return self.logits(self.hidden(padded)[:, :time])

    def matrices(self) -> list[nn.Parameter]:
        """Everything stored as Q4_0."""
        return [m.weight for m in self.modules() if isinstance(m, nn.Linear)]

    def vectors(self) -> list[nn.Parameter]:
        """Norm weights and scales, stored as F32."""
        matrices = {id(p) for p in self.matrices()} | {id(self.token_embd)}
        return [p for p in self.parameters() if id(p) not in matrices]

    @contextlib.contextmanager
    def quantised(self):
        """While entered, matrices hold their Q4_0 values and the table its Q6_K values.

        Gradients then apply to the exact values (straight through).
        """
        roundings = [(m, quant.q4_0_values) for m in self.matrices()] + [(self.token_embd, quant.q6_k_values)]
        exact = [p.detach().clone() for p, _ in roundings]
        with torch.no_grad():
            for p, values in roundings:
                p.copy_(torch.from_numpy(values(p.cpu().numpy())))
        try:
            yield
        finally:
            with torch.no_grad():
                for (p, _), value in zip(roundings, exact):
                    p.copy_(value)
