"""Tokenizer fixtures: vocabulary-only GGUF files, texts, and the ids SentencePiece and Hugging Face give them."""

import numpy as np

import container
import gguf_out
import texts
import vocabulary
from paths import DATA

PIECES, COVERAGE, LONGEST_RUN = 5600, 0.9995, 31


def encoders(family, vocab):
    """(with control tokens recognised in text, with control tokens as plain text): text -> ids."""
    if family == "gemma3":
        return [vocabulary.sentencepiece_processor(vocab, special).encode for special in (True, False)]
    tokenizers = [vocabulary.rank_tokenizer(vocab, special) for special in (True, False)]
    return [lambda text, t=t: t.encode(text).ids for t in tokenizers]


def make_one(family, vocab, lines):
    gguf_out.write(DATA / f"{family}_vocab.gguf", family, {}, vocab, {})
    all_texts = texts.all_texts(vocab, lines)
    encode, encode_plain = encoders(family, vocab)
    arrays = {}
    for name, rows, dtype in [("text", [list(text.encode()) for text in all_texts], np.uint8),
                              ("ids", [encode(text) for text in all_texts], np.int32),
                              ("ids_plain", [encode_plain(text) for text in all_texts], np.int32)]:
        arrays[name], arrays[f"{name}_end"] = container.ragged(rows, dtype)
    assert arrays["ids"].max() < len(vocab.tokens)
    container.write(DATA / f"{family}_tokenizer.fixture", arrays)
    differ = sum(encode(text) != encode_plain(text) for text in all_texts)
    used = len(set(arrays["ids"].tolist()))
    print(f"{family}: {len(vocab.tokens)} tokens, {len(vocab.merges or [])} merges, {len(all_texts)} texts of "
          f"{len(arrays['text'])} bytes, {len(arrays['ids'])} ids ({used} different), {differ} texts with control tokens")


def make():
    lines = texts.corpus()
    pieces = vocabulary.train_pieces(lines, PIECES, COVERAGE)
    for family in ("gemma3", "gemma4"):
        make_one(family, getattr(vocabulary, family)(pieces, LONGEST_RUN), lines)


if __name__ == "__main__":
    make()
