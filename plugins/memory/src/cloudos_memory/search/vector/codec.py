"""Vectors as they are kept: int8 with one scale each, a quarter of the floats and as good for ranking."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int8]
Scales = NDArray[np.float32]
Floats = NDArray[np.float32]


def quantise(rows: Floats) -> tuple[Scales, Codes]:
    """Return each row as int8 and the factor that gives it back."""
    scales = np.maximum(np.abs(rows).max(axis=1), 1e-9).astype(np.float32) / 127
    return scales, np.rint(rows / scales[:, None]).astype(np.int8)


def pack(scales: Scales, codes: Codes) -> bytes:
    """Return rows as bytes: of each its scale, little-endian float32, and its int8s."""
    record = np.empty(len(scales), _layout(codes.shape[1]))
    record["scale"], record["codes"] = scales, codes
    return record.tobytes()


def unpack(packed: bytes, dimension: int) -> tuple[Scales, Codes]:
    """Return the unpacked rows. Raises ValueError if the bytes do not fit the dimension."""
    record = np.frombuffer(packed, _layout(dimension))
    return record["scale"].astype(np.float32), np.ascontiguousarray(record["codes"])


def signs(codes: Codes) -> NDArray[np.uint64]:
    """Return the signs of each row as bits, 64 to a word, column by column: shape (words, rows)."""
    words = -(-codes.shape[1] // 64)
    bits = np.zeros((len(codes), words * 64), np.bool_)
    bits[:, : codes.shape[1]] = codes > 0
    packed = np.packbits(bits, axis=1).view(np.uint64)
    return np.ascontiguousarray(packed.T)


def _layout(dimension: int) -> Any:
    return np.dtype([("scale", "<f4"), ("codes", np.int8, (dimension,))])
