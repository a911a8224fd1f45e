"""Write GGUF files, version 3: typed fields, then tensors at multiples of ALIGNMENT."""

import pathlib
import struct

import numpy as np

ALIGNMENT = 32
BLOCK_TYPES = {"f32": (0, 1, 4), "q4_0": (2, 32, 18), "q8_0": (8, 32, 34), "q6_k": (14, 256, 210)}
"""Number in the file, elements of a block, bytes of a block."""

Value = tuple[int, bytes]  # number of the type, and the packed value


def u32(value: int) -> Value:
    return 4, struct.pack("<I", value)


def i32(value: int) -> Value:
    return 5, struct.pack("<i", value)


def f32(value: float) -> Value:
    return 6, struct.pack("<f", value)


def flag(value: bool) -> Value:
    return 7, struct.pack("<?", value)


def text(value: str) -> Value:
    encoded = value.encode()
    return 8, struct.pack("<Q", len(encoded)) + encoded


def array(item, values: list) -> Value:
    """`values`, at least one, each packed by `item`, one of the functions above."""
    packed = [item(v) for v in values]
    return 9, struct.pack("<IQ", packed[0][0], len(packed)) + b"".join(data for _, data in packed)


def padding(size: int) -> bytes:
    return bytes(-size % ALIGNMENT)


def description(name: str, kind: str, data: np.ndarray, offset: int) -> bytes:
    """Name, extents (innermost first), type and place of a tensor; `data` are the bytes [rows, row bytes] or [row bytes]."""
    number, elements, size = BLOCK_TYPES[kind]
    extents = [data.shape[-1] // size * elements, *reversed(data.shape[:-1])]
    sizes = struct.pack(f"<I{len(extents)}Q", len(extents), *extents)
    return text(name)[1] + sizes + struct.pack("<IQ", number, offset)


def write(path: pathlib.Path, fields: dict[str, Value], tensors: list[tuple[str, str, np.ndarray]]) -> None:
    """Write `fields` and `tensors` (name, type as in BLOCK_TYPES, bytes with the last extent in bytes) in their order."""
    header = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(fields))
    for key, (kind, data) in fields.items():
        header += text(key)[1] + struct.pack("<I", kind) + data
    offset = 0
    for name, kind, data in tensors:
        header += description(name, kind, data, offset)
        offset += data.size + len(padding(data.size))
    with path.open("wb") as out:
        out.write(header + padding(len(header)))
        for _, _, data in tensors:
            out.write(data.tobytes() + padding(data.size))
