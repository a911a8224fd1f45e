"""Tiny models: random weights, their GGUF files, and the logits transformers computes in double precision."""

from dataclasses import dataclass

import numpy as np
import torch
from transformers import modeling_rope_utils
from transformers.models.gemma3 import modeling_gemma3
from transformers.models.gemma4 import modeling_gemma4
from transformers.models.gemma4_unified import modeling_gemma4_unified

import container
import gguf_out
import vocabulary
from double import RefuseFloat32, double_precision
from paths import DATA

MODULES = (modeling_gemma3, modeling_gemma4, modeling_gemma4_unified, modeling_rope_utils)
SLIDING_THETA, GLOBAL_THETA, LINEAR_FACTOR, PARTIAL_ROTARY = 1e4, 1e6, 8.0, 0.25


@dataclass
class Shape:
    name: str
    family: str
    pattern: str  # one letter a layer: L is sliding, G is global
    width: int
    ffn: int
    heads: int
    kv_heads: tuple[int, int]  # sliding, global
    head_dim: tuple[int, int]  # sliding, global
    window: int
    seed: int
    softcap: float | None = None
    write_pattern: bool = True  # Gemma 3 files usually leave it out: every sixth layer is global
    vocab: int = 384

    @property
    def layers(self):
        return len(self.pattern)

    @property
    def attention_scale(self):
        """Gemma 3: 1/sqrt(head dim), but 1/sqrt(width/heads) for the model of 62 layers. Gemma 4: 1."""
        if self.family == "gemma4":
            return 1.0
        return (self.width / self.heads if self.layers == 62 else self.head_dim[0]) ** -0.5

    def kind(self, layer):
        return 0 if self.pattern[layer] == "L" else 1


SHAPES = [
    Shape("gemma3_7l", "gemma3", "LLLLLGL", 96, 128, 4, (2, 2), (32, 32), 8, 31, write_pattern=False),
    Shape("gemma3_62l", "gemma3", ("LLLLLG" * 11)[:62], 32, 32, 2, (1, 1), (8, 8), 8, 32, write_pattern=False),
    Shape("gemma3_4l", "gemma3", "LGLL", 64, 256, 4, (1, 1), (32, 32), 16, 33),
    Shape("gemma4_8l", "gemma4", "LLLLLGLG", 96, 128, 4, (2, 1), (16, 32), 16, 41, 30.0),
    Shape("gemma4_7l_sliding", "gemma4", "LLLLLGL", 64, 128, 4, (2, 1), (16, 32), 8, 42, 30.0),
    Shape("gemma4_4l", "gemma4", "LGLG", 64, 256, 8, (4, 2), (16, 32), 8, 43, 30.0),
]


class Weights:
    """Seeded random f32 tensors by GGUF name; matrices are [out, in] as transformers has them."""

    def __init__(self, shape):
        self.shape = shape
        self.rng = np.random.default_rng(shape.seed)
        self.tensors = {}
        self.add("token_embd.weight", self.matrix(shape.vocab, shape.width))
        self.add("output_norm.weight", self.norm(shape.width, 10.0 if shape.softcap else 4.0))
        for layer in range(shape.layers):
            self.add_layer(layer)
        if shape.family == "gemma4":
            half = shape.head_dim[1] // 2
            rotated = int(PARTIAL_ROTARY * shape.head_dim[1]) // 2
            self.add("rope_freqs.weight", np.where(np.arange(half) < rotated, 1.0, 1e30))

    def add(self, name, array):
        self.tensors[name] = np.ascontiguousarray(array, np.float32)

    def matrix(self, rows, columns, gain=1.0):
        return self.rng.standard_normal((rows, columns)) * gain / np.sqrt(columns)

    def norm(self, size, gain):
        """Weights around `gain`, a few of them negative."""
        return gain * self.rng.uniform(0.5, 1.5, size) * np.where(self.rng.random(size) < 0.1, -1.0, 1.0)

    def add_layer(self, layer):
        shape, kind = self.shape, self.shape.kind(layer)
        d, heads, kv_heads = shape.head_dim[kind], shape.heads, shape.kv_heads[kind]
        # q . k of normed vectors has deviation gain^2 sqrt(d): make the scaled score's about 4, so attention is peaked
        peak = np.sqrt(4.0 / (shape.attention_scale * np.sqrt(d)))
        depth_gain = min(0.5, 1.5 / np.sqrt(shape.layers))
        prefix = f"blk.{layer}."
        self.add(prefix + "attn_norm.weight", self.norm(shape.width, 1.0))
        self.add(prefix + "attn_q.weight", self.matrix(heads * d, shape.width))
        self.add(prefix + "attn_k.weight", self.matrix(kv_heads * d, shape.width))
        if shape.family == "gemma3" or kind == 0:
            self.add(prefix + "attn_v.weight", self.matrix(kv_heads * d, shape.width, 1.5))
        self.add(prefix + "attn_q_norm.weight", self.norm(d, peak))
        self.add(prefix + "attn_k_norm.weight", self.norm(d, peak))
        self.add(prefix + "attn_output.weight", self.matrix(shape.width, heads * d))
        self.add(prefix + "post_attention_norm.weight", self.norm(shape.width, depth_gain))
        self.add(prefix + "ffn_norm.weight", self.norm(shape.width, 1.0))
        self.add(prefix + "ffn_gate.weight", self.matrix(shape.ffn, shape.width, 2.0))
        self.add(prefix + "ffn_up.weight", self.matrix(shape.ffn, shape.width))
        self.add(prefix + "ffn_down.weight", self.matrix(shape.width, shape.ffn))
        self.add(prefix + "post_ffw_norm.weight", self.norm(shape.width, depth_gain))
        if shape.family == "gemma4":
            self.add(prefix + "layer_output_scale.weight", self.rng.uniform(0.6, 1.4, 1))


# GGUF name of a parameter of a transformers layer.
LAYER_NAMES = {
    "input_layernorm.weight": "attn_norm.weight", "self_attn.q_proj.weight": "attn_q.weight",
    "self_attn.k_proj.weight": "attn_k.weight", "self_attn.v_proj.weight": "attn_v.weight",
    "self_attn.q_norm.weight": "attn_q_norm.weight", "self_attn.k_norm.weight": "attn_k_norm.weight",
    "self_attn.o_proj.weight": "attn_output.weight", "post_attention_layernorm.weight": "post_attention_norm.weight",
    "pre_feedforward_layernorm.weight": "ffn_norm.weight", "mlp.gate_proj.weight": "ffn_gate.weight",
    "mlp.up_proj.weight": "ffn_up.weight", "mlp.down_proj.weight": "ffn_down.weight",
    "post_feedforward_layernorm.weight": "post_ffw_norm.weight", "layer_scalar": "layer_output_scale.weight",
}


def gguf_name(parameter):
    if parameter == "model.embed_tokens.weight":
        return "token_embd.weight"
    if parameter == "model.norm.weight":
        return "output_norm.weight"
    _, _, layer, rest = parameter.split(".", 3)
    return f"blk.{layer}.{LAYER_NAMES[rest]}"


def gemma3_model(shape, kinds):
    config = modeling_gemma3.Gemma3TextConfig(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.ffn, num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads[0], head_dim=shape.head_dim[0],
        query_pre_attn_scalar=round(shape.attention_scale**-2), sliding_window=shape.window, layer_types=kinds,
        final_logit_softcapping=shape.softcap,
        rope_parameters={
            "sliding_attention": {"rope_type": "default", "rope_theta": SLIDING_THETA},
            "full_attention": {"rope_type": "linear", "factor": LINEAR_FACTOR, "rope_theta": GLOBAL_THETA}})
    config._attn_implementation = "eager"
    return modeling_gemma3.Gemma3ForCausalLM(config)


def gemma4_model(shape, kinds, module, prefix, **extra):
    # The configuration insists on a global last layer: give it one more layer than wanted, and drop that.
    config = getattr(module, f"{prefix}TextConfig")(
        vocab_size=shape.vocab, hidden_size=shape.width, intermediate_size=shape.ffn,
        num_hidden_layers=shape.layers + 1, num_attention_heads=shape.heads, num_key_value_heads=shape.kv_heads[0],
        num_global_key_value_heads=shape.kv_heads[1], head_dim=shape.head_dim[0], global_head_dim=shape.head_dim[1],
        sliding_window=shape.window, layer_types=kinds + ["full_attention"], final_logit_softcapping=shape.softcap,
        attention_k_eq_v=True, **extra)
    config._attn_implementation = "eager"
    model = getattr(module, f"{prefix}ForCausalLM")(config)
    model.model.layers = model.model.layers[: shape.layers]
    return model


def build(shape, implementation):
    """A transformers model of this shape, not yet with our weights."""
    kinds = ["sliding_attention" if letter == "L" else "full_attention" for letter in shape.pattern]
    if shape.family == "gemma3":
        return gemma3_model(shape, kinds)
    if implementation == "unified":
        return gemma4_model(shape, kinds, modeling_gemma4_unified, "Gemma4Unified")
    return gemma4_model(shape, kinds, modeling_gemma4, "Gemma4", hidden_size_per_layer_input=0)


def load(model, shape, weights):
    """Copies every weight. Gemma 3 multiplies by 1 + w where the file stores the sum: w is exact in double only."""
    names = set()
    tensors = dict(model.named_parameters()) | {
        name: buffer for name, buffer in model.named_buffers() if name.endswith("layer_scalar")}
    tensors.pop("lm_head.weight", None)
    with torch.no_grad():
        for parameter, target in tensors.items():
            name = gguf_name(parameter)
            value = torch.from_numpy(weights.tensors[name].astype(np.float64))
            if shape.family == "gemma3" and name.endswith("norm.weight"):
                value = value - 1.0
            assert target.shape == value.shape, (name, target.shape, value.shape)
            target.copy_(value)
            names.add(name)
        # transformers rounds this factor to the weights' type; Tandem takes it unrounded from fp32.
        model.model.embed_tokens.embed_scale = torch.tensor(np.float32(np.sqrt(shape.width)), dtype=target.dtype)
    assert names == set(weights.tensors) - {"rope_freqs.weight"}
    assert model.lm_head.weight is model.model.embed_tokens.weight


def run(model, tokens, positions=None):
    """Logits, the residual stream after the embedding and after each layer, and the attention probabilities."""
    residual, probabilities, hooks = [], [], []
    hooks.append(model.model.layers[0].register_forward_pre_hook(
        lambda module, args: residual.append(args[0][0].clone())))
    for layer in model.model.layers:
        hooks.append(layer.register_forward_hook(lambda module, args, output: residual.append(output[0].clone())))
        hooks.append(layer.self_attn.register_forward_hook(
            lambda module, args, output: probabilities.append(output[1][0].clone())))
    position_ids = None if positions is None else torch.tensor([positions.tolist()])
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tokens.tolist()]), position_ids=position_ids, use_cache=False).logits[0]
    for hook in hooks:
        hook.remove()
    return logits.numpy(), torch.stack(residual).numpy(), [p.numpy() for p in probabilities]


def run_double(shape, weights, tokens, implementation="unified", positions=None):
    with double_precision(*MODULES):
        model = build(shape, implementation).double().eval()
        load(model, shape, weights)
        with RefuseFloat32():
            return run(model, tokens, positions)


def run_single(shape, weights, tokens):
    model = build(shape, "unified").float().eval()
    load(model, shape, weights)
    return run(model, tokens)[0]


def check_window(shape, probabilities):
    """Query p sees exactly the keys p-W+1 .. p on a sliding layer and 0 .. p on a global one."""
    for layer, p in enumerate(probabilities):
        query, key = np.indices(p.shape[1:])
        visible = key <= query
        if shape.kind(layer) == 0:
            visible &= query - key < shape.window
        assert ((p > 0) == visible).all(), f"{shape.name}: layer {layer}"


def peak(probabilities):
    """Mean largest probability over queries that see at least 8 keys, and what uniform attention would have."""
    largest = np.mean([p.max(axis=-1)[:, 7:].mean() for p in probabilities])
    uniform = np.mean([(1.0 / (p > 0).sum(axis=-1))[:, 7:].mean() for p in probabilities])
    return largest, uniform


def values(shape):
    """GGUF metadata without the architecture prefix."""
    result = {"context_length": 262144, "embedding_length": shape.width,
              "block_count": shape.layers, "feed_forward_length": shape.ffn, "attention.head_count": shape.heads,
              "attention.layer_norm_rms_epsilon": 1e-6, "attention.key_length": shape.head_dim[1],
              "attention.value_length": shape.head_dim[1], "attention.sliding_window": shape.window,
              "rope.freq_base": GLOBAL_THETA}
    pattern = [letter == "L" for letter in shape.pattern]
    if shape.family == "gemma3":
        result |= {"attention.head_count_kv": shape.kv_heads[0], "rope.freq_base_swa": SLIDING_THETA,
                   "rope.scaling.type": "linear", "rope.scaling.factor": LINEAR_FACTOR}
        return result | ({"attention.sliding_window_pattern": pattern} if shape.write_pattern else {})
    return result | {
        "attention.head_count_kv": [shape.kv_heads[shape.kind(layer)] for layer in range(shape.layers)],
        "attention.key_length_swa": shape.head_dim[0], "attention.value_length_swa": shape.head_dim[0],
        "attention.sliding_window_pattern": pattern, "attention.shared_kv_layers": 0,
        "embedding_length_per_layer_input": 0, "rope.freq_base_swa": SLIDING_THETA,
        "rope.dimension_count": shape.head_dim[1], "rope.dimension_count_swa": shape.head_dim[0],
        "final_logit_softcapping": shape.softcap}


def make_one(shape):
    weights = Weights(shape)
    gguf_out.write(DATA / f"{shape.name}.gguf", shape.family, values(shape), vocabulary.tiny(shape.family),
                   weights.tensors)
    rng = np.random.default_rng(1000 + shape.seed)
    lengths = [1, shape.window - 1, shape.window, shape.window + 1, 3 * shape.window]
    arrays = {"lengths": np.array(lengths, np.int32)}
    for length in lengths:
        tokens = rng.integers(0, shape.vocab, length).astype(np.int32)
        tokens[0] = 2
        logits, residual, probabilities = run_double(shape, weights, tokens)
        check_window(shape, probabilities)
        arrays[f"tokens_{length}"] = tokens
        arrays[f"logits_{length}"] = logits.astype(np.float32)
    arrays[f"residual_{length}"] = residual.astype(np.float32)
    container.write(DATA / f"{shape.name}.fixture", arrays)

    spread = logits.max() - logits.min()
    single = np.abs(run_single(shape, weights, tokens) - logits).max() / spread
    print(f"{shape.name}: logits {logits.min():.1f} .. {logits.max():.1f}; largest probability "
          "{:.2f}, uniform {:.2f}; ".format(*peak(probabilities)) + f"float32 differs by {single:.1e} of range")
    if shape.family == "gemma4":
        other = run_double(shape, weights, tokens, "gemma4")[0]
        assert np.abs(other - logits).max() < 1e-12 * spread


def make():
    for shape in SHAPES:
        make_one(shape)


if __name__ == "__main__":
    make()
