"""Generated strings for the tokenizers, by class; every one of bytes, since some classes are not UTF-8."""

import numpy as np

import texts
from vocabulary import CONTROL, NORMAL, SPACE, UNKNOWN, USER_DEFINED

PER_CLASS, LONG_LINE_BYTES = 550, 100_000

EMOJI = [
    "😀", "🤖", "👍🏽", "👩‍👩‍👧‍👦", "🧑🏿‍🚀", "🏳️‍🌈", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "🇩🇪", "🇫🇷🇯🇵",
    "1️⃣", "#️⃣", "❤️", "❤️‍🔥", "☺︎", "👁️‍🗨️", "🫱🏻‍🫲🏾"]
RIGHT_TO_LEFT = [(0x5D0, 0x5EA), (0x621, 0x64A), (0x5B0, 0x5C7), (0x64B, 0x655), (0x7C0, 0x7EA), (0xFB50, 0xFBB1)]
EAST_ASIAN = [(0x4E00, 0x9FFF), (0x4E00, 0x5400), (0x3041, 0x30FF), (0xAC00, 0xD7A3), (0x1100, 0x11FF),
              (0x20000, 0x2A6DF), (0xFF01, 0xFF9F), (0x3000, 0x303F)]
OTHER_SCRIPTS = [(0xC0, 0x24F), (0x370, 0x3FF), (0x400, 0x52F), (0x530, 0x58F), (0x900, 0x97F), (0xB80, 0xBFF),
                 (0xE00, 0xE7F), (0x10A0, 0x10FF), (0x1200, 0x137F), (0x13A0, 0x13FF)]
MARKS = [(0x300, 0x36F), (0x1AB0, 0x1AFF), (0x20D0, 0x20FF), (0x93E, 0x94D), (0xE31, 0xE3A), (0xFE20, 0xFE2F)]
WHITE_SPACE = [" ", "\t", "\n", "\r", "\r\n", "\v", "\f", "\u00a0", "\u2009", "\u200b", "\u2028", "\u3000", "\u0085"]
BROKEN = [b"\xff", b"\x80", b"\xc0\x80", b"\xc3", b"\xe2\x82", b"\xe2", b"\xed\xa0\x80", b"\xf0\x9f", b"\xf0\x9f\x98",
          b"\xf4\x90\x80\x80", b"\xf8\x88\x80\x80\x80", b"\xbf\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\x80"]
CODE_WORDS = ["if", "return", "x", "_i", "std::vector<int>", "fooBar", "self.y", "0x1F", "nullptr", "λ",
              '"s\\n"', "'c'"]


class Strings:
    """The generator of one vocabulary: pieces and special tokens come from there, prose and code from `lines`."""

    def __init__(self, vocabulary, lines, seed):
        self.rng = np.random.default_rng(seed)
        self.lines = lines
        tokens = list(zip(vocabulary.tokens, vocabulary.types))
        self.pieces = np.array([text.replace(SPACE, " ") for text, kind in tokens if kind == NORMAL], dtype=object)
        self.specials = np.array([text for text, kind in tokens if kind in (CONTROL, UNKNOWN, USER_DEFINED)
                                  and text.strip(SPACE + "\n\t")], dtype=object)

    def classes(self):
        """Class name -> function that makes one string."""
        return {
            "prose and code": self.prose, "pieces": self.some_pieces, "repetition": self.repetition,
            "emoji": self.emoji, "East Asian": lambda: self.characters(EAST_ASIAN),
            "other scripts": lambda: self.characters(OTHER_SCRIPTS), "right to left": self.right_to_left,
            "combining marks": self.marked, "space runs": lambda: self.runs(" "),
            "newline runs": lambda: self.runs("\n"), "tab runs": lambda: self.runs("\t"),
            "white space": self.white_space, "digits": self.digits, "code": self.code,
            "control look-alikes": self.look_alike, "mixture": self.mixture, "space marks": self.space_marks,
            "random characters": lambda: texts.random_characters(self.rng), "bytes as text": self.bytes_as_text,
            "invalid UTF-8": self.invalid}

    def make(self):
        """(class, string) of every class, PER_CLASS of each."""
        return [(name, self.encoded(make())) for name, make in self.classes().items() for _ in range(PER_CLASS)]

    def make_long_lines(self):
        """Lines of LONG_LINE_BYTES without a break: up to 60 strings of all classes over and over in any order."""
        makers = [make for name, make in self.classes().items() if name not in ("newline runs", "white space")]
        some = lambda: [self.pick(makers)() for _ in range(self.count(1, self.pick([1, 60])))]
        return [("100 kB lines", self.long_line(some())) for _ in range(PER_CLASS)]

    def long_line(self, strings):
        parts = [self.encoded(string).replace(b"\n", b" ") for string in strings]
        line = b""
        while len(line) < LONG_LINE_BYTES:
            line += b"".join(parts[i] for i in self.rng.integers(0, len(parts), 100)) or b" "
        return line[:LONG_LINE_BYTES]  # the cut may be inside a character

    @staticmethod
    def encoded(text):
        return text if isinstance(text, bytes) else text.encode()

    def count(self, least, most):
        return int(self.rng.integers(least, most, endpoint=True))

    def pick(self, choices):
        return choices[int(self.rng.integers(0, len(choices)))]

    def piece(self):
        return self.pick(self.pieces)

    def character(self, blocks):
        first, last = self.pick(blocks)
        return chr(self.count(first, last))

    def characters(self, blocks):
        """Words of one block or two, some of them with Latin between."""
        chosen = [self.pick(blocks) for _ in range(self.count(1, 2))]
        words = ["".join(self.character(chosen) for _ in range(self.count(1, 12))) for _ in range(self.count(1, 8))]
        return self.pick(["", " ", "  ", ", ", "。", self.piece()]).join(words)

    def prose(self):
        return texts.slice_of(self.rng, self.lines)

    def some_pieces(self):
        return "".join(self.piece() for _ in range(self.count(1, 25)))

    def repetition(self):
        return texts.repetition(self.rng, self.pieces)

    def emoji(self):
        sources = [lambda: self.pick(EMOJI), lambda: self.character([(0x1F300, 0x1FAFF), (0x2600, 0x27BF)]), self.piece,
                   lambda: self.pick(["\u200d", "\ufe0f", " ", "🏽"])]
        return "".join(self.pick(sources)() for _ in range(self.count(1, 24)))

    def right_to_left(self):
        parts = [self.characters(RIGHT_TO_LEFT) for _ in range(self.count(1, 3))]
        return self.pick([" ", " \u200f", "\u202b", " 123 ", " (abc) "]).join(parts)

    def marked(self):
        letters = [(0x61, 0x7A), (0x41, 0x5A), (0x915, 0x939), (0xE01, 0xE2E), (0x1100, 0x1112)]
        marks = lambda: "".join(self.character(MARKS) for _ in range(self.count(0, 5)))
        return "".join(self.character(letters) + marks() for _ in range(self.count(1, 40)))

    def runs(self, character):
        lengths = [self.count(0, 4), self.count(28, 36), self.count(5, 200), self.count(200, 3000)]
        run = lambda: character * self.pick(lengths[: self.count(1, 4)])
        return "".join(self.piece() + run() for _ in range(self.count(1, 8)))

    def white_space(self):
        return "".join(self.piece() if self.rng.random() < 0.3 else self.pick(WHITE_SPACE) * self.count(1, 4)
                       for _ in range(self.count(2, 30)))

    def digits(self):
        date = lambda: f"{self.count(1900, 2100)}-{self.count(1, 12):02}-{self.count(1, 28):02}T{self.count(0, 23)}:00"
        numbers = [date, lambda: str(self.count(0, 10 ** self.count(1, 18))),
                   lambda: f"{self.rng.normal() * 1e6:,.{self.count(0, 9)}f}", lambda: f"{self.rng.normal():e}",
                   lambda: hex(self.count(0, 1 << 40)), lambda: "0" * self.count(1, 60),
                   lambda: self.character([(0x660, 0x669), (0xFF10, 0xFF19), (0xB2, 0xBE)])]
        return self.pick([" ", "", ", ", "+", "\t"]).join(self.pick(numbers)() for _ in range(self.count(1, 12)))

    def code(self):
        def line():
            indent = self.pick(["    ", "\t", "  "]) * self.count(0, 5)
            words = [self.pick(CODE_WORDS) for _ in range(self.count(1, 6))]
            end = self.pick([";", " {", ")", "", "});", "  # " + self.piece(), "/* */", "</div>"])
            return indent + self.pick([" ", "", " = ", "(", ", ", "->", " && "]).join(words) + end
        return self.pick(["\n", "\r\n", "\n\n"]).join(line() for _ in range(self.count(1, 10)))

    def look_alike(self):
        def one():
            text = self.pick(self.specials)
            place = self.count(0, len(text))
            left, right = text[:place], text[place:]
            return self.pick([text, left, right, left + " " + right, text.upper(), f"<{text}>", text * 2,
                              left + text + right, f"<unused{self.count(0, 7000)}>", f"<0x{self.count(0, 255):02X}>",
                              "<|", "|>"])
        return self.pick(["", " ", "\n", "  "]).join(one() for _ in range(self.count(1, 8)))

    def mixture(self):
        return texts.mixture(self.rng, self.specials, self.pieces)

    def space_marks(self):
        return "".join(self.pick([SPACE, SPACE * self.count(2, 40), " ", "  ", self.piece(), self.pick(self.specials)])
                       for _ in range(self.count(1, 12)))

    def bytes_as_text(self):
        return self.rng.bytes(self.count(1, 120)).decode("latin-1")

    def invalid(self):
        sources = [lambda: self.pick(BROKEN), lambda: self.rng.bytes(self.count(1, 8)), lambda: self.piece().encode(),
                   lambda: self.pick(EMOJI).encode()[: self.count(1, 4)], lambda: self.pick(self.specials).encode()]
        return b"".join(self.pick(sources)() for _ in range(self.count(1, 12))) + self.pick(BROKEN)
