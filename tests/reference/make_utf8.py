"""UTF-8 fixture: broken and whole byte strings, and what Python decodes them to with U+FFFD for what is broken."""

import numpy as np

import container
from paths import DATA

ROWS, LONGEST = 600, 16
TELLING_BYTES = [0x00, 0x41, 0x7F, 0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1, 0xED, 0xEF,
                 0xF0, 0xF3, 0xF4, 0xF5, 0xFF]
CHARACTERS = ["a", "é", "ß", "€", "漢", "\ud7ff", "\ue000", "\uffff", "😀", "\U0010ffff"]


def random_row(rng):
    """Telling bytes, or characters with some bytes lost or changed."""
    if rng.random() < 0.5:
        return bytes(rng.choice(TELLING_BYTES, rng.integers(0, LONGEST)).tolist())
    row = "".join(rng.choice(CHARACTERS, rng.integers(1, 8))).encode()
    keep = rng.random(len(row)) < 0.9
    return bytes(int(rng.choice(TELLING_BYTES)) if rng.random() < 0.05 else byte for byte, k in zip(row, keep) if k)


def make():
    rng = np.random.default_rng(3)
    rows = [random_row(rng) for _ in range(ROWS)]
    texts = [row.decode("utf-8", errors="replace").encode() for row in rows]
    arrays = {}
    arrays["bytes"], arrays["bytes_end"] = container.ragged([list(row) for row in rows], np.uint8)
    arrays["text"], arrays["text_end"] = container.ragged([list(text) for text in texts], np.uint8)
    container.write(DATA / "utf8.fixture", arrays)
    print(f"{ROWS} rows, {sum(row != text for row, text in zip(rows, texts))} of them broken")


if __name__ == "__main__":
    make()
