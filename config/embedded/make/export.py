"""Write a checkpoint as GGUF: the Q4_0 model that ships, and F32 and Q8_0 relatives to compare it with."""

import argparse
import pathlib

import gguf
import numpy as np
import torch

import quant
import vocabulary
from model import Gemma4
from train import load_model

TYPES = {
    "q4_0": gguf.GGMLQuantizationType.Q4_0,
    "q8_0": gguf.GGMLQuantizationType.Q8_0,
    "q6_k": gguf.GGMLQuantizationType.Q6_K,
}
BYTES = {"q4_0": quant.q4_0_bytes, "q8_0": quant.q8_0_bytes, "q6_k": quant.q6_k_bytes}
FILE_TYPES = {
    "f32": gguf.LlamaFileType.ALL_F32,
    "q4_0": gguf.LlamaFileType.MOSTLY_Q4_0,
    "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
}


def add_hyper_parameters(out: gguf.GGUFWriter, model: Gemma4):
    s = model.shape
    sliding = [s.is_sliding(i) for i in range(s.layers)]
    out.add_context_length(s.context)
    out.add_embedding_length(s.width)
    out.add_block_count(s.layers)
    out.add_feed_forward_length(s.ffn)
    out.add_vocab_size(s.vocabulary)
    out.add_head_count(s.heads)
    out.add_head_count_kv([s.sliding_kv_heads if kind else s.global_kv_heads for kind in sliding])
    out.add_key_length(s.global_head_dim)
    out.add_value_length(s.global_head_dim)
    out.add_uint32("gemma4.attention.key_length_swa", s.sliding_head_dim)
    out.add_uint32("gemma4.attention.value_length_swa", s.sliding_head_dim)
    out.add_sliding_window(s.window)
    out.add_array("gemma4.attention.sliding_window_pattern", sliding)
    out.add_uint32("gemma4.attention.shared_kv_layers", 0)
    out.add_layer_norm_rms_eps(s.eps)
    out.add_rope_dimension_count(s.global_head_dim)
    out.add_uint32("gemma4.rope.dimension_count_swa", s.sliding_head_dim)
    out.add_rope_freq_base(s.global_theta)
    out.add_float32("gemma4.rope.freq_base_swa", s.sliding_theta)
    out.add_final_logit_softcapping(s.softcap)
    out.add_uint32("gemma4.embedding_length_per_layer_input", 0)


def add_tokenizer(out: gguf.GGUFWriter, words: dict):
    """The Gemma 4 scheme: ranked merges; scores are a placeholder that must not drive merging."""
    ids = {t: i for i, t in enumerate(words["tokens"])}
    out.add_tokenizer_model("gemma4")
    out.add_token_list(words["tokens"])
    out.add_token_scores([-1000.0] * len(words["tokens"]))
    out.add_token_types(words["types"])
    out.add_token_merges([" ".join(pair) for pair in words["merges"]])
    out.add_bos_token_id(vocabulary.BOS)
    out.add_eos_token_id(ids["<turn|>"])
    out.add_pad_token_id(vocabulary.PAD)
    out.add_unk_token_id(vocabulary.UNK)
    out.add_mask_token_id(vocabulary.MASK)
    out.add_add_bos_token(True)
    out.add_add_space_prefix(False)
    out.add_array("tokenizer.ggml.suppress_tokens", [ids[t] for t in vocabulary.SUPPRESSED])


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
    out = gguf.GGUFWriter(path, "gemma4")
    out.add_name("Tandem embedded demonstration")
    out.add_description("Answers questions about Debian packages; see the card beside it")
    out.add_file_type(FILE_TYPES[kind])
    out.add_quantization_version(gguf.GGML_QUANT_VERSION)
    add_hyper_parameters(out, model)
    add_tokenizer(out, words)
    out.add_float32(
        "general.sampling.temp", 0.6
    )  # a small model's tail of unlikely tokens is mostly nonsense
    out.add_int32("general.sampling.top_k", 40)
    out.add_float32("general.sampling.top_p", 0.9)
    out.add_float32("general.sampling.penalty_repeat", 1.15)  # and it likes a word it has just said
    for name, parameter, storage in tensors(model, kind):
        if storage == "f32":
            out.add_tensor(name, parameter.detach().float().numpy().astype(np.float32))
        else:
            out.add_tensor(name, BYTES[storage](parameter.detach()), raw_dtype=TYPES[storage])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def read_weights(path: pathlib.Path, model: Gemma4) -> Gemma4:
    """Fill `model` with the values that a file holds, decoded by the gguf package."""
    stored = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in gguf.GGUFReader(path).tensors}
    with torch.no_grad():
        for name, parameter, _ in tensors(model, "f32"):
            parameter.copy_(torch.from_numpy(stored.pop(name).astype(np.float32).reshape(parameter.shape)))
    assert not stored, f"tensors that the model does not have: {sorted(stored)}"
    return model


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=pathlib.Path, required=True, help="folder with checkpoint.pt and vocabulary.json"
    )
    parser.add_argument(
        "--out", type=pathlib.Path, required=True, help="folder for tandem-tiny-{f32,q8_0,q4_0}.gguf"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, words = load_model(args.work / "checkpoint.pt"), vocabulary.load(args.work / "vocabulary.json")
    for kind in FILE_TYPES:
        path = args.out / f"tandem-tiny-{kind}.gguf"
        write(model, words, kind, path)
        check(model, kind, path)


@torch.no_grad()
def check(model: Gemma4, kind: str, path: pathlib.Path):
    """The file's values give the logits that training computed with."""
    tokens = torch.randint(0, model.shape.vocabulary, (1, 300), generator=torch.Generator().manual_seed(0))
    again = read_weights(path, Gemma4(model.shape))(tokens)
    if kind == "q4_0":
        with model.quantised():
            expected = model(tokens)
    else:
        expected = model(tokens)
    difference = float((expected - again).abs().max())
    print(f"{path}: {path.stat().st_size} bytes, largest logit difference to the checkpoint {difference:.2e}")
    assert difference < {"f32": 1e-6, "q4_0": 1e-3, "q8_0": 1.0}[kind]


if __name__ == "__main__":
    main()
