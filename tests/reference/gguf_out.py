"""Writes models and vocabularies as GGUF files."""

from gguf import GGUFWriter

from vocabulary import SPACE, USER_DEFINED


def add_tokenizer(writer, vocabulary):
    """tokenizer.* keys; user-defined texts get real spaces, as they are matched in raw text."""
    texts = [text.replace(SPACE, " ") if kind == USER_DEFINED else text
             for text, kind in zip(vocabulary.tokens, vocabulary.types)]
    writer.add_tokenizer_model(vocabulary.model)
    writer.add_tokenizer_pre("gemma4" if vocabulary.merges else "default")
    writer.add_token_list(texts)
    writer.add_token_scores(vocabulary.scores)
    writer.add_token_types(vocabulary.types)
    if vocabulary.merges:
        writer.add_token_merges([f"{left} {right}" for left, right in vocabulary.merges])
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_mask_token_id(4)
    writer.add_add_bos_token(True)
    writer.add_add_eos_token(False)
    writer.add_add_space_prefix(False)


def add_values(writer, values):
    """Metadata by Python type: bool, int (u32), float (f32), str, list of bool or int (i32)."""
    for key, value in values.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)


def write(path, arch, values, vocabulary, tensors):
    """One GGUF file; `values` have keys without the architecture prefix, `tensors` map names to f32 arrays."""
    writer = GGUFWriter(path, arch)
    writer.add_name(path.stem)
    add_values(writer, {f"{arch}.{key}": value for key, value in values.items()})
    add_tokenizer(writer, vocabulary)
    for name, array in tensors.items():
        writer.add_tensor(name, array)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    if tensors:
        writer.write_tensors_to_file()
    writer.close()
