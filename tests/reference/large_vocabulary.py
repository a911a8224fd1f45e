"""A stand-in of the real vocabularies' size, trained on text that every Debian machine has and on generated words."""

import json
import sysconfig
from pathlib import Path

import numpy as np
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

import vocabulary
from vocabulary import CONTROL, SPACE

TOKENS, LONGEST_RUN, UNUSED_NAMES = 262_144, 31, 2_000
LEARNT = 275_000  # pieces: more than there is room for, since runs are among them
WORDS_A_SCRIPT, LINES_A_SCRIPT, WORDS_A_LINE = 26_000, 2_600, 40
CODE_CHARACTERS, LONGEST_PIECE = 4_000_000, 24

SCRIPTS = [  # first and last code point, how many of them words are made of
    (0x61, 0x7A, 26), (0xC0, 0x17F, 180), (0x3B1, 0x3C9, 25), (0x430, 0x44F, 32),  # Latin, accents, Greek, Cyrillic
    (0x5D0, 0x5EA, 27), (0x621, 0x64A, 36), (0x905, 0x94D, 70), (0xE01, 0xE4E, 70),  # Hebrew, Arabic, Devanagari, Thai
    (0x3041, 0x30FA, 160), (0x4E00, 0x9FA5, 6_000), (0xAC00, 0xD7A3, 2_000),  # kana, ideographs, Hangul
    (0x1F300, 0x1F6FF, 700)]  # emoji


def native_lines():
    """Licences and Python's own library."""
    lines = []
    for path in sorted(Path("/usr/share/common-licenses").iterdir()):
        lines += path.read_text().splitlines()
    code = "".join(path.read_text() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")))
    return [line for line in lines + code[:CODE_CHARACTERS].splitlines() if line.strip()]


def generated_lines(rng):
    """Words of many scripts; letters and words are as unequally frequent as in languages."""
    lines = []
    for first, last, count in SCRIPTS:
        letters = rng.choice(np.arange(first, last + 1), min(count, last + 1 - first), replace=False)
        frequency = 1.0 / np.arange(4, len(letters) + 4)
        lengths = rng.integers(2, 9, WORDS_A_SCRIPT)
        drawn = rng.choice(letters, lengths.sum(), p=frequency / frequency.sum())
        words = ["".join(map(chr, word)) for word in np.split(drawn, np.cumsum(lengths)[:-1])]
        for _ in range(LINES_A_SCRIPT):
            picks = rng.random(WORDS_A_LINE) ** 2 * WORDS_A_SCRIPT
            lines.append(" ".join(words[int(pick)] for pick in picks))
    return lines


def train(lines, count):
    """`count` pieces, best first with scores that say so, single characters at the end."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(f"{SPACE}?[^{SPACE}]+|{SPACE}+"), "isolated")
    tokenizer.train_from_iterator(lines, trainers.BpeTrainer(
        vocab_size=count, min_frequency=1, show_progress=False, max_token_length=LONGEST_PIECE))
    ids = json.loads(tokenizer.to_str())["model"]["vocab"]
    pieces = sorted(ids, key=lambda piece: (len(piece) == 1, ids[piece]))
    return [(piece, -float(rank)) for rank, piece in enumerate(pieces)]


def make(family, pieces):
    """The family's vocabulary with exactly TOKENS tokens: the best pieces and, as real ones have them, unused names."""
    whole = getattr(vocabulary, family)
    fixed = whole([], LONGEST_RUN).tokens
    known = set(fixed)
    new = [piece for piece in pieces if piece[0] not in known]
    single = [piece for piece in new if len(piece[0]) == 1]
    longer = [piece for piece in new if len(piece[0]) > 1]
    room = TOKENS - len(fixed) - UNUSED_NAMES - len(single)
    assert len(longer) >= room, f"{len(longer)} pieces were learnt, {room} are wanted"
    result = whole(longer[:room] + single, LONGEST_RUN)
    result.add(((f"<unused{n + 1}>", CONTROL) for n in range(UNUSED_NAMES)), result.scores[0])
    assert len(result.tokens) == TOKENS
    return result
