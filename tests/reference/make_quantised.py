"""Float rows and what the gguf package quantises them to, bit for bit."""

import numpy as np
from gguf import GGMLQuantizationType as T
from gguf.quants import quantize

import container
from paths import DATA

ROWS = 48
WIDTH = 256


def rows(rng):
    """Gaussian rows of many magnitudes, with zeros, halves exactly between two levels, and extremes."""
    values = rng.standard_normal((ROWS, WIDTH)) * np.exp2(rng.integers(-20, 12, (ROWS, 1)))
    values[0] = 0
    values[1, :32] = 0
    values[2] = np.arange(WIDTH) - 127.5
    values[3] = 127 * np.sign(values[3])
    values[4, 7] = 65504
    values[5, ::32] = -65504
    return values.astype(np.float16)


def make():
    halves = rows(np.random.default_rng(77))
    arrays = {
        "rows.f16": halves.view(np.uint8),
        "rows.values": halves.astype(np.float32),
        "Q8_0.blocks": quantize(halves.astype(np.float32), T.Q8_0),
    }
    container.write(DATA / "quantised.fixture", arrays)
    print("quantised.fixture: Q8_0")


if __name__ == "__main__":
    make()
