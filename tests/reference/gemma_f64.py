"""Gemma 3 and Gemma 4 (dense text) in numpy double precision, from a GGUF file: a second opinion on transformers.

Written from the formulas, for reading. A set of named mistakes can be switched on, to see which fixture notices.
"""

from dataclasses import dataclass
from math import erf, sqrt

import numpy as np
from gguf import GGUFReader

MISTAKES = [
    "window +1", "window -1", "erf gelu", "adjacent-pair rope", "swapped thetas", "no linear factor",
    "linear factor on sliding layers", "no V norm", "weighted V norm", "no layer_output_scale",
    "layer_output_scale before the last add", "no softcap", "1+w norms", "w-1 norms", "scaled q", "unscaled q",
    "ignored rope_freqs", "partial rope exponent", "norm after rope", "wrong 27B scale", "27B scale everywhere",
    "rotated V", "float32 angles", "bf16 embedding scale", "no embedding scale", "kv head by remainder", "no post norms",
]


class Mistakes(frozenset):
    """The mistakes switched on; a name that is not in MISTAKES is an error."""

    def __new__(cls, *names):
        assert set(names) <= set(MISTAKES), names
        return super().__new__(cls, names)


@dataclass
class Layer:
    sliding: bool
    kv_heads: int
    head_dim: int


class Model:
    """Hyper-parameters and tensors of one file; `forward` is the whole model, `layer` one block."""

    def __init__(self, path, mistakes=Mistakes()):
        reader = GGUFReader(path)
        self.keys = {key: part.contents() for key, part in reader.fields.items()}
        self.arch = self.keys["general.architecture"]
        self.tensors = {t.name: t.data.astype(np.float64) for t in reader.tensors}
        self.wrong = mistakes
        self.width = self.key("embedding_length")
        self.heads = self.key("attention.head_count")
        self.eps = 1e-6
        self.layers = [self.describe(layer) for layer in range(self.key("block_count"))]

    def key(self, name, default=None):
        return self.keys.get(f"{self.arch}.{name}", default)

    def describe(self, layer):
        pattern = self.key("attention.sliding_window_pattern")
        sliding = pattern[layer] if pattern is not None else (layer + 1) % 6 != 0
        kv_heads = self.key("attention.head_count_kv")
        d = self.key("attention.key_length")
        return Layer(sliding, kv_heads[layer] if isinstance(kv_heads, list) else kv_heads,
                     self.key("attention.key_length_swa", d) if sliding else d)

    def weight(self, layer, name):
        return self.tensors[f"blk.{layer}.{name}.weight"]

    def forward(self, tokens, positions=None):
        """Logits [tokens, vocabulary] and the residual stream [layers + 1, tokens, width]."""
        positions = np.arange(len(tokens)) if positions is None else np.asarray(positions)
        x = self.tensors["token_embd.weight"][tokens] * self.embedding_scale()
        residual = [x]
        for layer in range(len(self.layers)):
            x = self.layer(layer, x, positions)
            residual.append(x)
        h = self.norm(x, self.tensors["output_norm.weight"])
        return self.soften(h @ self.tensors["token_embd.weight"].T), np.stack(residual)

    def embedding_scale(self):
        scale = np.float32(sqrt(self.width))
        if "no embedding scale" in self.wrong:
            return 1.0
        if "bf16 embedding scale" in self.wrong:
            bits = int(scale.view(np.uint32))
            return float(np.uint32((bits + 0x8000) & 0xFFFF0000).view(np.float32))
        return float(scale)

    def soften(self, logits):
        cap = self.key("final_logit_softcapping")
        if cap is None or "no softcap" in self.wrong:
            return logits
        return cap * np.tanh(logits / cap)

    def rms(self, x):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps)

    def norm(self, x, weight):
        if "1+w norms" in self.wrong:
            weight = weight + 1.0
        if "w-1 norms" in self.wrong:
            weight = weight - 1.0
        return self.rms(x) * weight

    def layer(self, layer, x, positions):
        a = self.norm(x, self.weight(layer, "attn_norm"))
        y = self.attention(layer, a, positions) @ self.weight(layer, "attn_output").T
        x = x + self.post_norm(layer, "post_attention_norm", y)
        f = self.norm(x, self.weight(layer, "ffn_norm"))
        gate = self.gelu(f @ self.weight(layer, "ffn_gate").T)
        z = (gate * (f @ self.weight(layer, "ffn_up").T)) @ self.weight(layer, "ffn_down").T
        z = self.post_norm(layer, "post_ffw_norm", z)
        scale = 1.0
        if f"blk.{layer}.layer_output_scale.weight" in self.tensors and "no layer_output_scale" not in self.wrong:
            scale = self.weight(layer, "layer_output_scale")[0]
        return x * scale + z if "layer_output_scale before the last add" in self.wrong else (x + z) * scale

    def post_norm(self, layer, name, y):
        return y if "no post norms" in self.wrong else self.norm(y, self.weight(layer, name))

    def gelu(self, t):
        if "erf gelu" in self.wrong:
            return 0.5 * t * (1.0 + np.vectorize(erf)(t / sqrt(2.0)))
        return 0.5 * t * (1.0 + np.tanh(sqrt(2.0 / np.pi) * (t + 0.044715 * t**3)))

    def attention(self, layer, a, positions):
        q, k, v = self.qkv(layer, a, positions)
        spec = self.layers[layer]
        group = self.heads // spec.kv_heads
        visible = self.mask(spec, positions)
        out = []
        for head in range(self.heads):
            kv = head % spec.kv_heads if "kv head by remainder" in self.wrong else head // group
            scores = q[:, head] @ k[:, kv].T * self.attention_scale(spec)
            scores = np.where(visible, scores, -np.inf)
            p = np.exp(scores - scores.max(axis=-1, keepdims=True))
            out.append(p / p.sum(axis=-1, keepdims=True) @ v[:, kv])
        return np.concatenate(out, axis=-1)

    def mask(self, spec, positions):
        """visible[query, key]: keys up to the query itself, on a sliding layer the last `window` of those."""
        distance = positions[:, None] - positions[None, :]
        if not spec.sliding:
            return distance >= 0
        window = self.key("attention.sliding_window")
        window += ("window +1" in self.wrong) - ("window -1" in self.wrong)
        return (distance >= 0) & (distance < window)

    def qkv(self, layer, a, positions):
        """q (before the attention scale), k and v as they are attended: [tokens, heads, head_dim]."""
        spec = self.layers[layer]

        def project(name, heads):
            return (a @ self.weight(layer, name).T).reshape(len(a), heads, spec.head_dim)

        q = project("attn_q", self.heads)
        k = project("attn_k", spec.kv_heads)
        has_v = f"blk.{layer}.attn_v.weight" in self.tensors
        v = project("attn_v", spec.kv_heads) if has_v else k
        q_norm, k_norm = self.weight(layer, "attn_q_norm"), self.weight(layer, "attn_k_norm")
        if self.arch == "gemma4" and "no V norm" not in self.wrong:
            v = self.norm(v, k_norm) if "weighted V norm" in self.wrong else self.rms(v)
        if "norm after rope" in self.wrong:
            q = self.norm(self.rope(spec, q, positions), q_norm)
            k = self.norm(self.rope(spec, k, positions), k_norm)
        else:
            q = self.rope(spec, self.norm(q, q_norm), positions)
            k = self.rope(spec, self.norm(k, k_norm), positions)
        if "rotated V" in self.wrong:
            v = self.rope(spec, v, positions)
        return q, k, v

    def attention_scale(self, spec):
        by_head, by_width = 1.0 / sqrt(spec.head_dim), 1.0 / sqrt(self.width / self.heads)
        if "unscaled q" in self.wrong:
            return 1.0
        if self.arch == "gemma4":
            return by_head if "scaled q" in self.wrong else 1.0
        if len(self.layers) == 62:
            return by_head if "wrong 27B scale" in self.wrong else by_width
        return by_width if "27B scale everywhere" in self.wrong else by_head

    def rope(self, spec, x, positions):
        """Rotates pairs (i, i + d/2) of x [tokens, heads, d]."""
        angles = self.angles(spec, positions)[:, None, :]
        cos, sin = np.cos(angles), np.sin(angles)
        if "adjacent-pair rope" in self.wrong:
            first, second = x[..., 0::2], x[..., 1::2]
            return np.stack([first * cos - second * sin, second * cos + first * sin], axis=-1).reshape(x.shape)
        first, second = np.split(x, 2, axis=-1)
        return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1)

    def angles(self, spec, positions):
        d = spec.head_dim
        sliding_theta = self.key("rope.freq_base_swa", 10000.0)
        thetas = [self.key("rope.freq_base"), sliding_theta]
        theta = thetas[spec.sliding != ("swapped thetas" in self.wrong)]
        pair = np.arange(d // 2)
        rate = float(theta) ** (-2.0 * pair / d)
        factors = self.tensors.get("rope_freqs.weight")
        if factors is not None and not spec.sliding:
            if "partial rope exponent" in self.wrong:
                rate = float(theta) ** (-2.0 * pair / (2 * (factors == 1.0).sum()))
            if "ignored rope_freqs" not in self.wrong:
                rate = np.where(factors >= 1e20, 0.0, rate / factors)
        linear = self.key("rope.scaling.factor", 1.0)
        if "linear factor on sliding layers" not in self.wrong and spec.sliding:
            linear = 1.0
        if "no linear factor" in self.wrong:
            linear = 1.0
        if "float32 angles" in self.wrong:
            return (positions[:, None].astype(np.float32) * (rate / linear).astype(np.float32)).astype(np.float64)
        return positions[:, None].astype(np.float64) * (rate / linear)
