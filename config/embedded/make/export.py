"""Write a checkpoint as GGUF: the Q4_0 model that ships, and F32 and Q8_0 relatives to compare it with."""

import argparse
import pathlib

import torch

import gguf_file
import quant
import vocabulary
from gguf_file import array, f32, flag, i32, text, u32
from model import Gemma4
from train import load_model

BYTES = {
    "f32": quant.f32_bytes,
    "q4_0": quant.q4_0_bytes,
    "q6_k": quant.q6_k_bytes,
    "q8_0": quant.q8_0_bytes,
}
FILE_TYPES = {"f32": 0, "q4_0": 2, "q8_0": 7}  # general.file_type: what most of the tensors are
QUANTIZATION_VERSION = 2


def general(kind: str) -> dict[str, gguf_file.Value]:
    return {
        "general.architecture": text("gemma4"),
        "general.name": text("Tandem embedded demonstration"),
        "general.description": text("Answers questions about Debian packages; see the card beside it"),
        "general.file_type": u32(FILE_TYPES[kind]),
        "general.quantization_version": u32(QUANTIZATION_VERSION),
    }


def hyper_parameters(model: Gemma4) -> dict[str, gguf_file.Value]:
    s = model.shape
    sliding = [s.is_sliding(i) for i in range(s.layers)]
    kv_heads = [s.sliding_kv_heads if kind else s.global_kv_heads for kind in sliding]
    fields = {
        "context_length": u32(s.context),
        "embedding_length": u32(s.width),
        "block_count": u32(s.layers),
        "feed_forward_length": u32(s.ffn),
        "vocab_size": u32(s.vocabulary),
        "attention.head_count": u32(s.heads),
        "attention.head_count_kv": array(i32, kv_heads),
        "attention.key_length": u32(s.global_head_dim),
        "attention.value_length": u32(s.global_head_dim),
        "attention.key_length_swa": u32(s.sliding_head_dim),
        "attention.value_length_swa": u32(s.sliding_head_dim),
        "attention.sliding_window": u32(s.window),
        "attention.sliding_window_pattern": array(flag, sliding),
        "attention.shared_kv_layers": u32(0),
        "attention.layer_norm_rms_epsilon": f32(s.eps),
        "rope.dimension_count": u32(s.global_head_dim),
        "rope.dimension_count_swa": u32(s.sliding_head_dim),
        "rope.freq_base": f32(s.global_theta),
        "rope.freq_base_swa": f32(s.sliding_theta),
        "final_logit_softcapping": f32(s.softcap),
        "embedding_length_per_layer_input": u32(0),
    }
    return {f"gemma4.{key}": value for key, value in fields.items()}


def tokenizer(words: dict) -> dict[str, gguf_file.Value]:
    """The Gemma 4 scheme: ranked merges; scores are a placeholder that must not drive merging."""
    ids = {t: i for i, t in enumerate(words["tokens"])}
    fields = {
        "model": text("gemma4"),
        "tokens": array(text, words["tokens"]),
        "scores": array(f32, [-1000.0] * len(words["tokens"])),
        "token_type": array(i32, words["types"]),
        "merges": array(text, [" ".join(pair) for pair in words["merges"]]),
        "bos_token_id": u32(vocabulary.BOS),
        "eos_token_id": u32(ids["<turn|>"]),
        "padding_token_id": u32(vocabulary.PAD),
        "unknown_token_id": u32(vocabulary.UNK),
        "mask_token_id": u32(vocabulary.MASK),
        "add_bos_token": flag(True),
        "add_space_prefix": flag(False),
        "suppress_tokens": array(i32, [ids[t] for t in vocabulary.SUPPRESSED]),
    }
    return {f"tokenizer.ggml.{key}": value for key, value in fields.items()}


def sampling() -> dict[str, gguf_file.Value]:
    """A small model's tail of unlikely tokens is mostly nonsense, and it likes a word that it has just said."""
    return {
        "general.sampling.temp": f32(0.6),
        "general.sampling.top_k": i32(40),
        "general.sampling.top_p": f32(0.9),
        "general.sampling.penalty_repeat": f32(1.15),
    }


def tensors(model: Gemma4, kind: str):
    """(name, fp32 parameter, storage type) of everything in the file, in file order."""
    table = "q6_k" if kind == "q4_0" else kind
    yield "token_embd.weight", model.token_embd, table
    for i, layer in enumerate(model.layers):
        for name, parameter in layer.named_parameters():
            matrix = parameter.dim() == 2
            yield f"blk.{i}.{name if matrix else name + '.weight'}", parameter, kind if matrix else "f32"
    yield "output_norm.weight", model.output_norm, "f32"
    yield "rope_freqs.weight", model.shape.frequency_divisors(), "f32"


def write(model: Gemma4, words: dict, kind: str, path: pathlib.Path):
    """Write the model with its matrices as `kind`: f32 (exact), q8_0, or q4_0 with a Q6_K table."""
    fields = general(kind) | hyper_parameters(model) | tokenizer(words) | sampling()
    stored = [
        (name, storage, BYTES[storage](parameter.detach().float().numpy()))
        for name, parameter, storage in tensors(model, kind)
    ]
    gguf_file.write(path, fields, stored)
    print(f"{path}: {path.stat().st_size} bytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=pathlib.Path, required=True, help="folder with names.pt and vocabulary.json"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder for tandem-tiny-{f32,q8_0,q4_0}.gguf"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, words = load_model(args.work / "names.pt"), vocabulary.load(args.work / "vocabulary.json")
    for kind in FILE_TYPES:
        write(model, words, kind, args.out / f"tandem-tiny-{kind}.gguf")


if __name__ == "__main__":
    main()
