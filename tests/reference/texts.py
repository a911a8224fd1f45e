"""The texts tokenizers are tested with, and the text their vocabularies are trained on."""

from pathlib import Path

import numpy as np

LICENCES = ["Apache-2.0", "Artistic", "GFDL-1.3", "GPL-3", "MPL-2.0"]
CODE_BYTES, NAMES_BYTES = 2_500_000, 400_000

WRITTEN = [
    "", " ", "  ", "a", "a ", " a", "  a", "a  ", "Hello, world!", "hello world", "Hello   world", "\n", "\r\n", "\r",
    "\t", " \n ", "\n \n", "\n\n \n\n", "a\nb", "a\n\nb", "a\r\nb\r\n", "\ta\tb\t\tc", "trailing \n", "\nleading",
    "The quick brown fox jumps over the lazy dog.", "3.14159 and 2,718,281.828", "0123456789", "1+1=2; 10^10",
    "don't can't won't it's", "UPPER lower MiXeD CamelCaseWord snake_case_word kebab-case-word",
    "https://example.org/path?query=value&other=%20#fragment", "user@example.org", "C:\\Windows\\System32",
    "/usr/share/doc/README.md", "{\"key\": [1, 2.5, null, true], \"nested\": {\"a\": \"b\"}}",
    "<html><body class=\"x\">text</body></html>", "SELECT * FROM t WHERE a <> 'b';",
    "int main(void) {\n\treturn 0;\n}\n", "for i in range(10):\n    if i % 2:\n        print(i)\n",
    "def f(x):\n\n\n    return  x   +    1\n", "#include <vector>\nstd::vector<std::pair<int, int>> v{{1, 2}};",
    "x" * 100, "=" * 80, "-" * 79, "." * 33, "ab" * 60, "abc" * 40, "the" * 30, "the " * 30, "aA" * 20, "!?" * 25,
    "Zażółć gęślą jaźń", "Grüße aus Österreich", "Où est le garçon ? Là-bas, évidemment.", "El Niño llegó mañana",
    "Þetta er íslenska", "Ελληνικά: Καλημέρα κόσμε", "Привет, мир! Как дела?", "Українська мова", "שלום עולם",
    "مرحبا بالعالم", "हिन्दी में नमस्ते दुनिया", "বাংলা ভাষা", "தமிழ் மொழி", "ภาษาไทยไม่มีช่องว่าง", "ქართული ენა", "Հայերեն",
    "አማርኛ", "日本語のテキストです。", "東京タワーは高い", "中文文本，没有空格。", "繁體中文測試", "한국어 문장입니다.", "각",
    "ﬁ ligature, ½ fraction, № numero, ™ mark", "“quotes” ‘single’ «guillemets» — dash – en… ellipsis",
    "e\u0301 vs \u00e9", "a\u0300\u0301\u0302\u0303\u0304", "Z\u0351\u036b\u0343\u036a\u0302a\u0321\u034a\u0300lgo",
    "n\u0303o\u0308", "\u1100\u1161\u11a8", "\u0e01\u0e33", "\u0301 starts with a mark",
    "😀", "😀😃😄", "👍🏽", "👩‍👩‍👧‍👦", "🏳️‍🌈", "🇩🇪🇫🇷🇯🇵", "1️⃣2️⃣", "text😀text", "🤖 robot 🤖", "❤️", "𝕳𝖊𝖑𝖑𝖔", "𠜎𠜱𠝹", "𓀀𓁐",
    "zero\u200bwidth\u200djoin\u2060er", "nbsp\u00a0here", "ideographic\u3000space", "thin\u2009space",
    "line\u2028separator", "\ufeffbom first", "soft\u00adhyphen", "\u202eright to left\u202c", "a\u0000b", "\u0000",
    "\u0007bell\u001b[31mred\u001b[0m", "\u007f", "\u0085", "\uffff", "\ufffd", "\U0010ffff", "\ud7ff\ue000",
    "\u2581", "a\u2581b", "\u2581\u2581", "a \u2581 b", "x\u2581\u2581\u2581y", "▁ literal ▁",
    "<0x0A>", "<0x41>b", "a<0xFF>", "<0x", "<", "<<", "<<<>>>", "<b", "<b>bold</b>", "<table></table>", "<h1>T</h1>\n",
    "<bos>", "<eos>", "<pad>", "<unk>", "<mask>", "a<unk>b", "<bos>text<eos>", "< bos>", "<BOS>", "<bos", "bos>",
    "<start_of_turn>user\nHello<end_of_turn>\n<start_of_turn>model\n", "<start_of_turn", "<start_of_turn>>",
    "<<start_of_turn>", "<end_of_turn><end_of_turn>", "<start_of_image>", "<unused0>", "<unused1>",
    "<|turn>user\nHello<turn|>\n<|turn>model\n", "<|turn>system\n<|think|>\nBe brief.<turn|>\n", "<|turn", "<turn|",
    "<|tool>declaration:f{}<tool|>", "<|tool_call>call:f{a:<|\"|>b<|\"|>}<tool_call|>",
    "<|tool_response>response:f{value:<|\"|>x<|\"|>}<tool_response|>", "<|channel>thought\n<channel|>", "<|image><image|>",
    "<|\"|>", "<|\"|", "<||>", "a <|turn> b", "a  <|turn>  b", "  <b>  ", "\n<b>\n", "<b>\n\n</b>", " <start_of_turn> ",
]


def corpus():
    """Lines to train on: licences, Python's library, and the names in the C library's locales (many scripts)."""
    lines = []
    for name in LICENCES:
        lines += Path("/usr/share/common-licenses", name).read_text().splitlines()
    code = "".join(path.read_text() for path in sorted(Path("/usr/lib/python3.11").glob("*.py")))
    lines += code[:CODE_BYTES].splitlines()
    names = []
    for path in sorted(Path("/usr/share/i18n/locales").glob("*_*")):
        text = path.read_text(errors="ignore")
        names += [line.strip() for line in text.splitlines() if not line.isascii() and '"' in line]
    while names and sum(map(len, names)) > NAMES_BYTES:
        names = names[::2]
    return [line for line in lines + names if line.strip()]


def all_texts(vocabulary, lines):
    """About 1500 texts, seeded: written ones, runs, corpus slices, random characters, pieces and mixtures."""
    rng = np.random.default_rng(7)
    specials = [text for text, kind in zip(vocabulary.tokens, vocabulary.types)
                if kind in (2, 3, 4) and text.strip("\u2581\n\t")]
    pieces = [text.replace("\u2581", " ") for text, kind in zip(vocabulary.tokens, vocabulary.types) if kind == 1]
    texts = list(WRITTEN) + run_texts()
    texts += [slice_of(rng, lines) for _ in range(300)]
    texts += [random_characters(rng) for _ in range(200)]
    texts += ["".join(rng.choice(pieces, rng.integers(1, 20))) for _ in range(300)]
    texts += [repetition(rng, pieces) for _ in range(100)]
    texts += [mixture(rng, specials, pieces) for _ in range(250)]
    texts += ["a" * 20_000, "ab" * 5_000, " " * 5_000, "\n" * 3_000, "é" * 2_000, "".join(lines[100:200])]
    return texts


def run_texts():
    """Runs of one white-space character, bare and inside a word, up to beyond the longest run token."""
    lengths = list(range(1, 36)) + [61, 62, 63, 64, 65, 100]
    texts = [character * n for character in " \n\t" for n in lengths]
    return texts + ["x" + character * n + "y" for character in " \n\t" for n in (1, 2, 3, 7, 8, 30, 31, 32, 33, 62)]


def slice_of(rng, lines):
    """Some consecutive lines, cut anywhere."""
    start, count = rng.integers(0, len(lines) - 8), rng.integers(1, 8)
    text = "\n".join(lines[start : start + count])
    begin = rng.integers(0, max(1, len(text) // 2))
    return text[begin : begin + rng.integers(1, 400)]


def random_characters(rng):
    """Characters of many blocks, without surrogates."""
    blocks = [(0x00, 0x7F), (0x80, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x600, 0x6FF), (0x900, 0xDFF),
              (0x2000, 0x2BFF), (0x3040, 0x30FF), (0x4E00, 0x9FFF), (0xAC00, 0xD7A3), (0x1F300, 0x1FAFF),
              (0x10000, 0x10FFFF)]
    chosen = [blocks[i] for i in rng.integers(0, len(blocks), rng.integers(1, 4))]
    return "".join(chr(rng.integers(*chosen[rng.integers(0, len(chosen))], endpoint=True))
                   for _ in range(rng.integers(1, 40)))


def repetition(rng, pieces):
    """A few pieces over and over: many merges of equal rank, so ties decide."""
    return "".join(rng.choice(pieces, rng.integers(1, 4))) * int(rng.integers(2, 30))


def mixture(rng, specials, pieces):
    """Special-token text, white space and pieces in any order, some of it cut in the middle of a token."""
    parts = []
    for _ in range(rng.integers(2, 12)):
        source = [specials, pieces, [" ", "  ", "\n", "\n\n", "\t", "   \n"]][rng.integers(0, 3)]
        part = str(rng.choice(source)).replace("\u2581", " ")
        parts.append(part[: rng.integers(1, len(part) + 1)] if rng.random() < 0.2 else part)
    return "".join(parts)
