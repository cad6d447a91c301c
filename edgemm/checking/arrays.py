"""Arrays from an .npz file that somebody else wrote: rows of numbers or texts, nothing that has to be run, and nothing allocated that is not there.

It knows nothing of what the arrays are for.
"""

from __future__ import annotations

import zipfile
import zlib
from typing import IO

import numpy as np

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError)
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_KINDS = "biufU"  # numpy's letters for truth values, whole numbers, floats and texts


def arrays_from_npz(file: IO[bytes], limit_bytes: int | None = None) -> dict[str, np.ndarray]:
    """Every array, by name; each has rows: at least one axis.

    Args:
        file: of an .npz.
        limit_bytes: of all arrays together.

    Raises:
        ValueError: it is none, or holds anything else; the message names the array.
    """
    arrays: dict[str, np.ndarray] = {}
    try:
        with zipfile.ZipFile(file) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if limit_bytes is not None and total > limit_bytes:
                raise ValueError(f"its arrays have {total} bytes, at most {limit_bytes} are read")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"'{name}' is in it twice")
                arrays[name] = _array(archive, member, name)
    except _BROKEN as error:
        raise ValueError(str(error)) from None
    return arrays


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str) -> np.ndarray:
    if member.filename == name:
        raise ValueError(f"'{name}' is no .npy array")
    if member.compress_type not in _METHODS:
        raise ValueError(f"'{name}' is packed in a way that is not read; expected what numpy.savez_compressed writes")
    try:
        with archive.open(member) as content:
            _check_header(content, name, member.file_size)
        with archive.open(member) as content:
            array: np.ndarray = np.lib.format.read_array(content, allow_pickle=False)
    except ValueError as error:
        known = str(error).startswith(f"'{name}'")
        raise ValueError(str(error) if known else f"'{name}' is no .npy array: {error}") from None
    return array


def _check_header(content: IO[bytes], name: str, size: int) -> None:
    """Before numpy allocates what the header says: is it there, and what may be read?"""
    version = np.lib.format.read_magic(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    if version not in readers:
        raise ValueError(
            f"'{name}' is an .npy array of version {version[0]}.{version[1]}; expected rows of numbers or texts"
        )
    shape, _, dtype = readers[version](content)
    if dtype.kind not in _KINDS:
        raise ValueError(f"'{name}' holds {dtype}; expected numbers or texts (no objects, bytes or records)")
    if not shape:
        raise ValueError(f"'{name}' is a single value; expected rows, one for each sample")
    needed = dtype.itemsize
    for axis in shape:
        needed *= axis
    there = size - content.tell()
    if min(shape) < 0 or needed > there:
        raise ValueError(f"'{name}' is said to be {dtype} {list(shape)}, {needed} bytes, but {there} are there")
