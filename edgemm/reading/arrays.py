"""Arrays from an .npz file that somebody else wrote: rows of numbers or texts, nothing that has to be run, and nothing allocated that is not there.

It knows nothing of what the arrays are for.
"""

from __future__ import annotations

import re
import sys
import zipfile
import zlib
from collections.abc import Collection
from math import prod
from typing import IO, Any, Literal

import numpy as np

from edgemm.limits import CALIBRATION_BYTES, EMPTY_ROWS, ZIP_DIRECTORY_BYTES, ZIP_MEMBERS

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
# What numpy writes, and others after it. Numpy reads it with Python's own parser, which a damaged header makes fail in a dozen ways.
_HEADER = re.compile(
    r"\{\s*'descr':\s*(?P<descr>'[^']*'|\[.*\]),\s*'fortran_order':\s*(?P<order>True|False),"
    r"\s*'shape':\s*\((?P<shape>(?:\s*-?\d{1,19},)*(?:\s*-?\d{1,19})?)\s*\),?\s*\}\s*",
    re.DOTALL,
)
_DESCR = re.compile(r"[<>|=]?[A-Za-z]\d{0,9}(?:\[\w{1,9}\])?")
_LENGTHS = {b"\1\0": 2, b"\2\0": 4}  # version -> bytes of the header's length
_PIECE_BYTES = 2**20
_HEADER_BYTES = 10_000  # as numpy has it
_KINDS = "biufU"  # numpy's letters for truth values, whole numbers, floats and texts


def arrays_from_npz(
    file: IO[bytes], limit_bytes: int = CALIBRATION_BYTES, only: Collection[str] | None = None
) -> dict[str, np.ndarray]:
    """Arrays by name; each has rows: at least one axis.

    Args:
        file: of an .npz.
        limit_bytes: of all that are read, together.
        only: the arrays that must be there; others are not read. None: every one.

    Raises:
        ValueError: it is none, lacks an array, or holds anything else; the message names the array.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        limited = _Limited(file)
        with zipfile.ZipFile(limited) as archive:
            limited.limit = sys.maxsize
            members = archive.infolist()
            if len(members) > ZIP_MEMBERS:
                raise ValueError(f"it has {len(members)} arrays, at most {ZIP_MEMBERS} are read")
            names = [member.filename.removesuffix(".npy") for member in members]
            missing = [name for name in only or () if name not in names]
            if missing:
                raise ValueError(f"it has no array '{missing[0]}'; it has: {', '.join(names)}")
            asked = [
                (name, member) for name, member in zip(names, members, strict=True) if only is None or name in only
            ]
            total = sum(member.file_size for _, member in asked)
            if total > limit_bytes:
                raise ValueError(f"its arrays have {total} bytes, at most {limit_bytes} are read")
            for name, member in asked:
                if name in arrays:
                    raise ValueError(f"'{name}' is in it twice")
                arrays[name] = _array(archive, member, name)
    except _BROKEN as error:
        raise ValueError(str(error)) from None
    return arrays


class _Limited:
    """A file of which no more is read at once than a zip's directory may have, while that is read: `zipfile` reads it in one."""

    limit = ZIP_DIRECTORY_BYTES

    def __init__(self, file: IO[bytes]) -> None:
        self.seek, self.tell, self.seekable, self._read = file.seek, file.tell, file.seekable, file.read

    def read(self, size: int = -1) -> bytes:
        if size > self.limit:
            raise zipfile.BadZipFile(f"its directory has {size} bytes, at most {self.limit} are read")
        return self._read(size)


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    if member.filename == name:
        raise ValueError(f"'{name}' is no .npy array")
    if member.compress_type not in _METHODS:
        raise ValueError(f"'{name}' is packed in a way that is not read; expected what numpy.savez_compressed writes")
    try:
        with archive.open(member) as content:
            return _rows(content, name, member.file_size)
    except ValueError as error:
        known = str(error).startswith(f"'{name}'")
        raise ValueError(str(error) if known else f"'{name}' is no .npy array: {error}") from None


def _rows(content: IO[bytes], name: str, size: int) -> np.ndarray:
    """An array, made only when everything that its header says is there."""
    dtype, order, shape = _header(content, name)
    if not shape:
        raise ValueError(f"'{name}' is a single value; expected rows, one for each sample")
    needed, there = dtype.itemsize * prod(shape), size - content.tell()
    if min(shape) < 0 or needed > there:
        raise ValueError(f"'{name}' is said to be {dtype} {list(shape)}, {needed} bytes, but {there} are there")
    if needed == 0 and shape[0] > EMPTY_ROWS:
        raise ValueError(f"'{name}' has {shape[0]} rows of nothing; at most {EMPTY_ROWS} are read")
    data = bytearray(needed)
    _fill(content, memoryview(data))
    array = np.ndarray(shape, dtype, data, order=order)
    if dtype.kind == "U" and array.size and array.itemsize:
        letters = np.frombuffer(data, dtype.str[0] + "u4")
        if letters.max() > sys.maxunicode:
            raise ValueError("it holds what is no letter")
    return array.astype(dtype.newbyteorder("="), copy=False)


def _fill(content: IO[bytes], data: memoryview) -> None:
    """Read what belongs there, piece by piece: a zip's member makes copies of all that it is asked for at once."""
    at = 0
    while at < len(data):
        got = content.readinto(data[at : at + _PIECE_BYTES])  # type: ignore[attr-defined]
        if not got:
            raise ValueError("it is truncated")
        at += got


def _header(content: IO[bytes], name: str) -> tuple[np.dtype[Any], Literal["C", "F"], tuple[int, ...]]:
    start = content.read(8)
    if start[:6] != b"\x93NUMPY" or len(start) < 8:
        raise ValueError("it does not begin as one")
    if start[6:] not in _LENGTHS:
        raise ValueError(
            f"'{name}' is an .npy array of version {start[6]}.{start[7]}; expected rows of numbers or texts"
        )
    length = int.from_bytes(content.read(_LENGTHS[start[6:]]), "little")
    match = _HEADER.fullmatch(content.read(length).decode("latin-1")) if length <= _HEADER_BYTES else None
    if match is None:
        raise ValueError("its header is not as numpy writes it")
    descr = match["descr"].strip("'")
    try:
        dtype = np.dtype(descr) if _DESCR.fullmatch(descr) else None
    except (TypeError, ValueError, OverflowError):
        raise ValueError(f"'{name}' holds {descr:.40}, which is nothing that numpy knows") from None
    if dtype is None or dtype.kind not in _KINDS:
        raise ValueError(
            f"'{name}' holds {descr if dtype is None else dtype!s:.80}; expected numbers or texts (no objects, bytes or records)"
        )
    shape = tuple(map(int, re.findall(r"-?\d+", match["shape"])))
    return dtype, "F" if match["order"] == "True" else "C", shape
