"""The fixture container: named u8, i32 and f32 arrays in one little-endian file (layout in README.md)."""

import struct
from pathlib import Path

import numpy as np

MAGIC = b"TANDEMFX"
VERSION = 1
DTYPES = {0: np.dtype("u1"), 1: np.dtype("<i4"), 2: np.dtype("<f4")}
CODES = {dtype: code for code, dtype in DTYPES.items()}


def write(path, arrays):
    """Writes `arrays`, a mapping of name to u8, i32 or f32 array; any other element type is an error."""
    out = [MAGIC, struct.pack("<II", VERSION, len(arrays))]
    for name, array in arrays.items():
        array = np.ascontiguousarray(array)
        if array.dtype.newbyteorder("<") not in CODES:
            raise TypeError(f"{name}: {array.dtype} is not one of u8, i32, f32")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            raise ValueError(f"{name}: not finite")
        encoded = name.encode()
        out.append(struct.pack("<I", len(encoded)) + encoded)
        out.append(struct.pack("<II", CODES[array.dtype.newbyteorder("<")], array.ndim))
        out.append(struct.pack(f"<{array.ndim}Q", *array.shape))
        out.append(array.tobytes())
    Path(path).write_bytes(b"".join(out))


def read(path):
    """Reads a container back as a dict of name to array."""
    data = Path(path).read_bytes()
    if data[:8] != MAGIC:
        raise ValueError(f"{path}: not a fixture container")
    version, count = struct.unpack_from("<II", data, 8)
    if version != VERSION:
        raise ValueError(f"{path}: version {version}")
    at = 16
    arrays = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<I", data, at)
        name = data[at + 4 : at + 4 + length].decode()
        at += 4 + length
        code, rank = struct.unpack_from("<II", data, at)
        shape = struct.unpack_from(f"<{rank}Q", data, at + 8)
        at += 8 + 8 * rank
        size = int(np.prod(shape, dtype=np.int64))
        arrays[name] = np.frombuffer(data, DTYPES[code], size, at).reshape(shape)
        at += size * DTYPES[code].itemsize
    return arrays


def ragged(rows, dtype):
    """Rows of different lengths as (all elements in a row, end offset of each row)."""
    ends = np.cumsum([len(row) for row in rows]).astype(np.int32)
    flat = np.concatenate([np.asarray(row, dtype=dtype) for row in rows]) if rows else np.empty(0, dtype)
    return flat, ends
