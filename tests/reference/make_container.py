"""container.fixture: the known contents that the C++ reader's own test expects."""

import numpy as np

import container
from paths import DATA


def make():
    ids, ids_end = container.ragged([[5, -6], [], [7]], np.int32)
    text, text_end = container.ragged([list("aé".encode()), list(b"\0b")], np.uint8)
    container.write(DATA / "container.fixture", {
        "bytes": np.array([0, 127, 255], np.uint8),
        "floats": np.array([[-0.5, 1.0, 3.25], [1e-40, -3e38, 7.0]], np.float32),
        "empty": np.empty((0, 4), np.float32),
        "ids": ids, "ids_end": ids_end, "text": text, "text_end": text_end,
    })
    print("container.fixture")


if __name__ == "__main__":
    make()
