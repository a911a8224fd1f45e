"""One layer at far positions, in numpy double precision; transformers in double precision must agree."""

import numpy as np

import container
import gguf_out
import vocabulary
from gemma_f64 import Model
from make_models import Shape, Weights, run_double, values
from paths import DATA

LAST_POSITIONS = [0, 1023, 131071, 262143]
RUN = 4  # tokens up to and including the last position, where there are that many
SHAPES = [
    Shape("gemma3_1l_sliding", "gemma3", "L", 32, 64, 2, (1, 1), (256, 256), 1024, 51),
    Shape("gemma3_1l_global", "gemma3", "G", 32, 64, 2, (1, 1), (256, 256), 1024, 52),
    Shape("gemma4_1l_sliding", "gemma4", "L", 32, 64, 2, (1, 1), (256, 512), 1024, 53, 30.0),
    Shape("gemma4_1l_global", "gemma4", "G", 32, 64, 2, (1, 1), (256, 512), 1024, 54, 30.0),
]


def stages(path, tokens, positions):
    """Everything a test may want to look at, in the order it is computed."""
    model = Model(path)
    embedded = model.tensors["token_embd.weight"][tokens] * model.embedding_scale()
    a = model.norm(embedded, model.weight(0, "attn_norm"))
    q, k, v = model.qkv(0, a, positions)
    logits, residual = model.forward(tokens, positions)
    return {"q": q, "k": k, "v": v, "hidden": residual[1], "logits": logits}


def make_one(shape):
    weights = Weights(shape)
    path = DATA / f"{shape.name}.gguf"
    gguf_out.write(path, shape.family, values(shape), vocabulary.tiny(shape.family), weights.tensors)
    rng = np.random.default_rng(1000 + shape.seed)
    arrays = {"last_positions": np.array(LAST_POSITIONS, np.int32)}
    for last in LAST_POSITIONS:
        positions = np.arange(max(0, last - RUN + 1), last + 1)
        tokens = rng.integers(0, shape.vocab, len(positions)).astype(np.int32)
        computed = stages(path, tokens, positions)
        logits, residual, _ = run_double(shape, weights, tokens, positions=positions)
        assert np.abs(logits - computed["logits"]).max() < 1e-9
        assert np.abs(residual[1] - computed["hidden"]).max() < 1e-9
        arrays[f"positions_{last}"] = positions.astype(np.int32)
        arrays[f"tokens_{last}"] = tokens
        arrays |= {f"{name}_{last}": value.astype(np.float32) for name, value in computed.items()}
    container.write(DATA / f"{shape.name}.fixture", arrays)
    print(f"{shape.name}: agrees with transformers")


def make():
    for shape in SHAPES:
        make_one(shape)


if __name__ == "__main__":
    make()
