"""What the embedded model's file is written with, against the gguf package."""

import sys

import gguf
import numpy as np
import pytest
from daemon import ROOT

sys.path.insert(0, str(ROOT / "config" / "embedded" / "make"))
import gguf_file
import quant
from gguf_file import array, f32, flag, i32, text, u32

ROWS, COLUMNS = 6, 512


def matrix(seed):
    """Weights of very different sizes, a row of zeros and a row with one element."""
    rng = np.random.default_rng(seed)
    w = rng.normal(size=(ROWS, COLUMNS)) * 10.0 ** rng.integers(-6, 3, (ROWS, 1))
    w[2] = 0
    w[3] = 0
    w[3, 77] = -0.25
    return w.astype(np.float32)


def test_file_equals_that_of_the_gguf_package(tmp_path):
    vector, w = np.arange(5, dtype=np.float32), matrix(1)
    q4 = quant.q4_0_bytes(w)
    gguf_file.write(
        tmp_path / "own.gguf",
        {
            "general.architecture": text("gemma4"),
            "general.name": text("naïve"),
            "a.count": u32(4_000_000_000),
            "a.signed": i32(-3),
            "a.real": f32(1e-6),
            "a.flag": flag(True),
            "a.flags": array(flag, [True, False, True]),
            "a.signs": array(i32, [-1, 2]),
            "a.reals": array(f32, [0.5, -1000.0]),
            "a.texts": array(text, ["", "▁zstd", "\n"]),
        },
        [
            ("vector", "f32", quant.f32_bytes(vector)),
            ("q4", "q4_0", q4),
            ("exact", "f32", quant.f32_bytes(w)),
        ],
    )

    other = gguf.GGUFWriter(tmp_path / "other.gguf", "gemma4")
    other.add_name("naïve")
    other.add_uint32("a.count", 4_000_000_000)
    other.add_int32("a.signed", -3)
    other.add_float32("a.real", 1e-6)
    other.add_bool("a.flag", True)
    other.add_array("a.flags", [True, False, True])
    other.add_array("a.signs", [-1, 2])
    other.add_array("a.reals", [0.5, -1000.0])
    other.add_array("a.texts", ["", "▁zstd", "\n"])
    other.add_tensor("vector", vector)
    other.add_tensor("q4", q4, raw_dtype=gguf.GGMLQuantizationType.Q4_0)
    other.add_tensor("exact", w)
    other.write_header_to_file()
    other.write_kv_data_to_file()
    other.write_tensors_to_file()
    other.close()

    assert (tmp_path / "own.gguf").read_bytes() == (tmp_path / "other.gguf").read_bytes()


@pytest.mark.parametrize("kind", ["q4_0", "q8_0", "q6_k"])
def test_bytes_decode_to_the_values_of_training(kind):
    w = matrix(2)
    stored = getattr(quant, f"{kind}_bytes")(w)
    decoded = gguf.dequantize(stored, gguf.GGMLQuantizationType[kind.upper()])
    np.testing.assert_array_equal(decoded.reshape(w.shape), getattr(quant, f"{kind}_values")(w))


@pytest.mark.parametrize("kind", ["q4_0", "q8_0"])
def test_rounding_loses_no_more_than_that_of_the_gguf_package(kind):
    w, number = matrix(3), gguf.GGMLQuantizationType[kind.upper()]
    other = gguf.dequantize(gguf.quantize(w, number), number)
    own = getattr(quant, f"{kind}_values")(w)
    assert np.square(own - w).sum() <= np.square(other - w).sum() * (1 + 1e-6)


def test_q6_k_error_is_within_its_steps():
    """The gguf package cannot write Q6_K.  A group's largest element is 32 steps, and each scale 1/127 of the largest."""
    w = np.random.default_rng(4).normal(size=(4, 1024)).astype(np.float32)
    blocks = w.reshape(-1, 16, 16)
    step = np.abs(blocks).max(2, keepdims=True) / 32
    scale_error = step.max(1, keepdims=True) / 127 / 2
    error = np.abs(quant.q6_k_values(w).reshape(blocks.shape) - blocks)
    fits = np.abs(blocks) <= 31 * step  # the mirror image of the largest would need 32 steps, there are 31
    bound = 0.5 * (step + scale_error) + 32 * scale_error
    assert (error <= bound * 1.001)[fits].all()
