"""Writes stand-in vocabularies and more than 10,000 strings for each with the ids SentencePiece and Hugging Face give
them: make_strings.py FOLDER.  What is there already and was made by the same scripts and packages stays."""

import hashlib
import sys
from concurrent.futures import ProcessPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np

import container
import gguf_out
import large_vocabulary
import vocabulary
from make_tokenizers import encoders
from strings import Strings
from vocabulary import NORMAL, UNUSED

SMALL_PIECES, SMALL_COVERAGE, SMALL_LONGEST_RUN, EVERY_UNUSED = 9_500, 0.98, 12, 23
SMALL_STEP = 4  # of the lines, what the small vocabulary is trained on
FAMILIES = ("gemma3", "gemma4")
SCRIPTS = ("container", "gguf_out", "large_vocabulary", "make_strings", "make_tokenizers",
           "strings", "texts", "vocabulary")
PACKAGES = ("gguf", "numpy", "sentencepiece", "tokenizers")


def recipe():
    """Changes when the result may."""
    scripts = [Path(__file__).with_name(f"{name}.py").read_text() for name in SCRIPTS]
    packages = [f"{name} {version(name)}" for name in PACKAGES]
    return hashlib.sha256("\n".join([sys.version, *packages, *scripts]).encode()).hexdigest()


def unused_now_and_then(vocab):
    """Merging goes through unused pieces, and they are no result: SentencePiece's own rule."""
    normal = [i for i, kind in enumerate(vocab.types) if kind == NORMAL]
    for i in normal[::EVERY_UNUSED]:
        vocab.types[i] = UNUSED
    return vocab


def ids_of(encode, vocab, string):
    """Bytes that are not UTF-8 are their byte tokens; what is between them is encoded by itself."""
    ids, text = [], ""
    for character in string.decode(errors="surrogateescape"):
        if "\udc80" <= character <= "\udcff":
            ids += encode(text) + [vocab.tokens.index(f"<0x{ord(character) - 0xDC00:02X}>")]
            text = ""
        else:
            text += character
    return ids + encode(text)


def write(folder, family, size, vocab, lines):
    """FAMILY_SIZE.gguf and FAMILY_SIZE.fixture; strings take turns in whether control tokens are recognised in them."""
    gguf_out.write(folder / f"{family}_{size}.gguf", family, {}, vocab, {})
    generator = Strings(vocab, lines, seed=len(vocab.tokens))
    made = generator.make() + (generator.make_long_lines() if size == "large" else [])
    parsed, plain = encoders(family, vocab)
    ids = [ids_of(parsed if i % 2 else plain, vocab, string) for i, (_, string) in enumerate(made)]
    names = list(dict.fromkeys(name for name, _ in made))
    arrays = {"class": np.array([names.index(name) for name, _ in made], np.int32),
              "parsed": np.arange(len(made)).astype(np.uint8) % 2}
    for name, rows, dtype in [("name", [list(name.encode()) for name in names], np.uint8),
                              ("text", [np.frombuffer(string, np.uint8) for _, string in made], np.uint8),
                              ("ids", ids, np.int32)]:
        arrays[name], arrays[f"{name}_end"] = container.ragged(rows, dtype)
    container.write(folder / f"{family}_{size}.fixture", arrays)
    return (f"{family} {size}: {len(vocab.tokens)} tokens, {len(made)} strings of {len(arrays['text'])} bytes, "
            f"{len(arrays['ids'])} ids")


def make(folder):
    folder.mkdir(parents=True, exist_ok=True)
    native = large_vocabulary.native_lines()
    lines = native + large_vocabulary.generated_lines(np.random.default_rng(1))
    small = vocabulary.train_pieces(lines[::SMALL_STEP], SMALL_PIECES, SMALL_COVERAGE)
    large = large_vocabulary.train(lines, large_vocabulary.LEARNT)
    jobs = []
    with ProcessPoolExecutor(2) as pool:
        for family in FAMILIES:
            jobs.append(pool.submit(write, folder, family, "large", large_vocabulary.make(family, large), native))
            vocab = getattr(vocabulary, family)(small, SMALL_LONGEST_RUN)
            vocab = unused_now_and_then(vocab) if family == "gemma3" else vocab
            jobs.append(pool.submit(write, folder, family, "small", vocab, native))
        for job in jobs:
            print(job.result())


def main():
    folder = Path(sys.argv[1])
    stamp = folder / "recipe"
    if stamp.exists() and stamp.read_text() == recipe():
        return
    make(folder)
    stamp.write_text(recipe())


if __name__ == "__main__":
    main()
