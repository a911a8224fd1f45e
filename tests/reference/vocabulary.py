"""Small vocabularies with the structure of the real ones: SentencePiece BPE (Gemma 3) and rank BPE (Gemma 4)."""

import io
from dataclasses import dataclass, field
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as spm
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6  # tokenizer.ggml.token_type
SPACE = "\u2581"  # what both families write for a space inside a piece

META = [("<pad>", CONTROL), ("<eos>", CONTROL), ("<bos>", CONTROL), ("<unk>", UNKNOWN), ("<mask>", CONTROL)]
GEMMA3_SPECIAL = [("<unused0>", CONTROL), ("<start_of_turn>", CONTROL), ("<end_of_turn>", CONTROL),
                  ("<start_of_image>", CONTROL), ("<end_of_image>", CONTROL)]
GEMMA3_TAGS = [("<table>", USER_DEFINED), ("</table>", USER_DEFINED), ("<h1>", USER_DEFINED), ("</h1>", USER_DEFINED),
               ("<b>", USER_DEFINED), ("</b>", USER_DEFINED)]
GEMMA4_SPECIAL = [("<|tool>", CONTROL), ("<tool|>", CONTROL), ("<|tool_call>", USER_DEFINED),
                  ("<tool_call|>", USER_DEFINED), ("<|tool_response>", USER_DEFINED),
                  ("<tool_response|>", USER_DEFINED), ('<|"|>', USER_DEFINED), ("<|think|>", CONTROL),
                  ("<|channel>", USER_DEFINED), ("<channel|>", USER_DEFINED), ("<|turn>", CONTROL),
                  ("<turn|>", CONTROL), ("<|image>", CONTROL), ("<image|>", CONTROL)]
BYTES = [(f"<0x{byte:02X}>", BYTE) for byte in range(256)]


@dataclass
class Vocabulary:
    """Token texts (spaces as U+2581), their types and scores; `merges` in rank order, for Gemma 4 only."""

    model: str
    tokens: list[str] = field(default_factory=list)
    types: list[int] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    merges: list[tuple[str, str]] | None = None

    def add(self, entries, score=0.0):
        for text, kind in entries:
            self.tokens.append(text)
            self.types.append(kind)
            self.scores.append(score)


def train_pieces(lines, count, coverage):
    """The `count` best pieces of a SentencePiece BPE over `lines`: (text, score), single characters included."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines), model_writer=model, model_type="bpe", vocab_size=count + 3,
        normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False, split_digits=True,
        character_coverage=coverage, num_threads=1, minloglevel=2, max_sentence_length=1 << 16)
    proto = spm.ModelProto.FromString(model.getvalue())
    return [(p.piece, p.score) for p in proto.pieces if p.type == spm.ModelProto.SentencePiece.NORMAL]


def runs(longest):
    """Newline runs from one, tab and space runs from two, up to `longest` characters."""
    return (["\n" * n for n in range(1, longest + 1)] + ["\t" * n for n in range(1, longest + 1)]
            + [SPACE * n for n in range(2, longest + 1)])


def gemma3(pieces, longest_run):
    """Control tokens, user-defined runs and tags, bytes, then the pieces with their scores."""
    vocabulary = Vocabulary("llama")
    vocabulary.add(META + GEMMA3_SPECIAL)
    vocabulary.add((run, USER_DEFINED) for run in runs(longest_run))
    vocabulary.add(GEMMA3_TAGS + BYTES)
    known = set(vocabulary.tokens)
    for text, score in pieces:
        if text not in known:
            vocabulary.add([(text, NORMAL)], score)
    return vocabulary


def gemma4(pieces, longest_run):
    """The same, but runs are normal tokens that merges reach, and scores are a placeholder."""
    vocabulary = Vocabulary("gemma4")
    vocabulary.add(META + GEMMA4_SPECIAL, -1000.0)
    vocabulary.add(((run, NORMAL) for run in runs(longest_run)), -1000.0)
    vocabulary.add(BYTES, -1000.0)
    known = set(vocabulary.tokens)
    learnt = [text for text, _ in pieces if text not in known]
    vocabulary.add(((text, NORMAL) for text in learnt), -1000.0)
    vocabulary.merges = all_splits(vocabulary, runs(longest_run) + learnt)
    return vocabulary


def all_splits(vocabulary, pieces):
    """Every way to make each piece of two others, best piece first: how score BPE becomes rank BPE."""
    ids = {text: i for i, (text, kind) in enumerate(zip(vocabulary.tokens, vocabulary.types)) if kind == NORMAL}
    merges = []
    for piece in pieces:
        splits = [(piece[:i], piece[i:]) for i in range(1, len(piece))]
        splits = [split for split in splits if split[0] in ids and split[1] in ids]
        merges += sorted(splits, key=lambda split: (ids[split[0]], ids[split[1]]))
    return merges


def sentencepiece_processor(vocabulary, parse_special):
    """SentencePiece itself over a Gemma 3 vocabulary; with `parse_special` control tokens match in text too.

    SentencePiece never matches its unknown piece in text, so that role goes to an extra piece at the end.
    """
    piece_type = spm.ModelProto.SentencePiece
    special = piece_type.USER_DEFINED if parse_special else piece_type.CONTROL
    kinds = {NORMAL: piece_type.NORMAL, BYTE: piece_type.BYTE, USER_DEFINED: piece_type.USER_DEFINED,
             CONTROL: special, UNKNOWN: special, UNUSED: piece_type.UNUSED}
    proto = spm.ModelProto()
    for text, kind, score in zip(vocabulary.tokens, vocabulary.types, vocabulary.scores):
        proto.pieces.add(piece=text, score=score, type=kinds[kind])
    proto.pieces.add(piece="<never in text>", score=0.0, type=piece_type.UNKNOWN)
    spec = proto.trainer_spec
    spec.model_type = spm.TrainerSpec.BPE
    spec.vocab_size = len(proto.pieces)
    spec.byte_fallback = True
    spec.pad_id, spec.eos_id, spec.bos_id, spec.unk_id = -1, -1, -1, len(vocabulary.tokens)
    spec.unk_piece = "<never in text>"
    proto.normalizer_spec.name = "identity"
    proto.normalizer_spec.add_dummy_prefix = False
    proto.normalizer_spec.remove_extra_whitespaces = False
    proto.normalizer_spec.escape_whitespaces = True
    return sentencepiece.SentencePieceProcessor(model_proto=proto.SerializeToString())


def rank_tokenizer(vocabulary, parse_special):
    """Hugging Face `tokenizers` over a Gemma 4 vocabulary; without `parse_special` control tokens are plain text."""
    ids = {text: i for i, text in enumerate(vocabulary.tokens)}
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=vocabulary.merges, unk_token="<unk>", fuse_unk=True,
                                     byte_fallback=True))
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex("\n+"), "isolated")
    tokenizer.decoder = decoders.Sequence([decoders.Replace(SPACE, " "), decoders.ByteFallback(), decoders.Fuse()])
    matched = (USER_DEFINED, CONTROL, UNKNOWN) if parse_special else (USER_DEFINED,)
    tokenizer.add_tokens([AddedToken(text, normalized=False) for text, kind in zip(vocabulary.tokens, vocabulary.types)
                          if kind in matched])
    return tokenizer


def tiny(family):
    """A vocabulary of 384 tokens for the tiny models, trained on one licence text."""
    lines = Path("/usr/share/common-licenses/Apache-2.0").read_text().splitlines()
    make, fixed = (gemma3, 5 + 5 + 11 + 6 + 256) if family == "gemma3" else (gemma4, 5 + 14 + 11 + 256)
    vocabulary = make(train_pieces(lines, 384 - fixed, 1.0), longest_run=4)
    assert len(vocabulary.tokens) == 384, len(vocabulary.tokens)
    return vocabulary
