"""Train a 4096-token SentencePiece BPE vocabulary and encode text with it as ranked merges (the Gemma 4 scheme)."""

import json
import pathlib
import re
import tempfile

SIZE = 4096
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
PAD, EOS, BOS, UNK, MASK = range(5)
CONTROLS = [
    "<|turn>",
    "<turn|>",
    "<|think|>",
    "<|tool>",
    "<tool|>",
    "<|image|>",
    "<image|>",
    "<|audio|>",
    "<audio|>",
    "<|video|>",
]
MARKUP = [
    "<|tool_call>",
    "<tool_call|>",
    "<|tool_response>",
    "<tool_response|>",
    '<|"|>',
    "<|channel>",
    "<channel|>",
]
SUPPRESSED = ["<|image|>", "<image|>", "<|audio|>", "<audio|>", "<|video|>"]
SPACE = "\u2581"
REQUIRED_CHARACTERS = [chr(c) for c in range(33, 127)]


def train_pieces(texts: list[str], count: int) -> list[str]:
    """The `count` most useful pieces of `texts` in the order SentencePiece learnt them; single characters come last.

    All of printable ASCII is among them; what does not occur is added here, as version 0.1.97 fails on it.
    """
    import sentencepiece

    occurring = set().union(*texts)
    absent = [c for c in REQUIRED_CHARACTERS if c not in occurring]
    with tempfile.TemporaryDirectory() as folder:
        lines = pathlib.Path(folder, "lines.txt")
        lines.write_text("\n".join(texts))
        sentencepiece.SentencePieceTrainer.Train(
            input=str(lines),
            model_prefix=f"{folder}/bpe",
            model_type="bpe",
            vocab_size=count - len(absent) + 4 + 256,
            byte_fallback=True,
            character_coverage=0.9999,
            normalization_rule_name="identity",
            split_digits=True,
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            pad_id=0,
            eos_id=1,
            bos_id=2,
            unk_id=3,
            required_chars="".join(c for c in REQUIRED_CHARACTERS if c in occurring),
            num_threads=2,
            minloglevel=1,
        )
        model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/bpe.model")
        pieces = [model.id_to_piece(i) for i in range(model.get_piece_size())]
    return [p for i, p in enumerate(pieces) if i >= 4 and not re.fullmatch(r"<0x[0-9A-F]{2}>", p)] + absent


def train(texts: list[str]) -> dict:
    """A vocabulary: `tokens`, their GGUF `types`, and `merges` as pairs of tokens, best first."""
    fixed = [
        ("<pad>", CONTROL),
        ("<eos>", CONTROL),
        ("<bos>", CONTROL),
        ("<unk>", UNKNOWN),
        ("<mask>", CONTROL),
    ]
    fixed += [(t, CONTROL) for t in CONTROLS] + [(t, USER_DEFINED) for t in MARKUP]
    fixed += [(f"<0x{b:02X}>", BYTE) for b in range(256)] + [("\n", NORMAL), ("\n\n", NORMAL)]
    pieces = train_pieces(texts, SIZE - len(fixed))
    tokens = [t for t, _ in fixed] + pieces
    known = set(pieces)
    merges = [("\n", "\n")]
    for piece in pieces:
        merges += [
            (piece[:i], piece[i:]) for i in range(1, len(piece)) if piece[:i] in known and piece[i:] in known
        ]
    return {"tokens": tokens, "types": [t for _, t in fixed] + [NORMAL] * len(pieces), "merges": merges}


class Encoder:
    """Text to ids and back.  Pieces hold a blank only in front, so merging word by word equals merging whole lines."""

    def __init__(self, vocabulary: dict):
        self.tokens, self.types = vocabulary["tokens"], vocabulary["types"]
        self.ids = {t: i for i, t in enumerate(self.tokens)}
        self.rank = {tuple(m): r for r, m in enumerate(vocabulary["merges"])}
        special = [t for t, kind in zip(self.tokens, self.types) if kind in (CONTROL, UNKNOWN, USER_DEFINED)]
        self.special = re.compile(
            "(" + "|".join(re.escape(t) for t in sorted(special, key=len, reverse=True)) + ")"
        )
        self.cache: dict[str, list[int]] = {}

    def encode(self, text: str) -> list[int]:
        """Ids of `text`; markers such as <|turn> become their own ids, <bos> is not added."""
        ids = []
        for part in self.special.split(text):
            if self.special.fullmatch(part):
                ids.append(self.ids[part])
                continue
            for word in re.findall(r"\n+| ?[^ \n]+| ", part):
                if word not in self.cache:
                    self.cache[word] = self.encode_word(word.replace(" ", SPACE))
                ids += self.cache[word]
        return ids

    def encode_word(self, word: str) -> list[int]:
        parts = [word] if word in ("\n", "\n\n") else list(word)
        while len(parts) > 1:
            best = min(range(len(parts) - 1), key=lambda i: self.rank.get((parts[i], parts[i + 1]), 1 << 30))
            if (parts[best], parts[best + 1]) not in self.rank:
                break
            parts[best : best + 2] = [parts[best] + parts[best + 1]]
        return [
            i
            for p in parts
            for i in ([self.ids[p]] if p in self.ids else [self.ids[f"<0x{b:02X}>"] for b in p.encode()])
        ]

    def decode(self, ids: list[int]) -> str:
        """Text of `ids`; control tokens vanish."""
        data = bytearray()
        for i in ids:
            token, kind = self.tokens[i], self.types[i]
            if kind == BYTE:
                data.append(int(token[3:5], 16))
            elif kind != CONTROL:
                data += token.replace(SPACE, " ").encode()
        return data.decode("utf-8", errors="replace")


def load(path: pathlib.Path) -> dict:
    return json.loads(path.read_text())


def save(vocabulary: dict, path: pathlib.Path) -> None:
    path.write_text(json.dumps(vocabulary))
