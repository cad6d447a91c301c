"""Arrays that somebody else wrote are rows of numbers or texts, or refused with the array's name: before anything is run or allocated."""

from __future__ import annotations

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from edgemm.limits import ZIP_DIRECTORY_BYTES
from edgemm.reading.arrays import arrays_from_npz


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer


def archive(name="x.npy", content=b"", method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as target:
        target.writestr(name, content)
    return buffer


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def header(shape, descr="<f4", version=b"\x01\x00", data=b""):
    """An .npy whose header says what it likes."""
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY" + version + len(text).to_bytes(2, "little") + text + data


def test_rows_of_numbers_and_texts_are_read():
    arrays = {"a": np.eye(3, dtype=np.float32), "b": np.array(["é", "bb"]), "c.mask": np.zeros((2, 0), bool)}
    found = arrays_from_npz(npz(**arrays))
    assert list(found) == list(arrays)
    assert all(np.array_equal(found[name], arrays[name]) and found[name].dtype == arrays[name].dtype for name in arrays)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array(3.0), "'x' is a single value; expected rows"),
        (np.array("text"), "'x' is a single value; expected rows"),
        (np.array([{}, 1], object), "'x' holds object; expected numbers or texts"),
        (np.array([b"a", b"b"]), r"'x' holds \|S1"),
        (np.zeros(3, "V8"), r"'x' holds \|V8"),
        (np.zeros(3, [("a", "f4")]), r"'x' holds \[\('a'"),
        (np.zeros(3, complex), "'x' holds complex128"),
        (np.array(["2020-01-01"], "M8[D]"), "'x' holds datetime64"),
    ],
)
def test_anything_else_is_named(array, message):
    with pytest.raises(ValueError, match=message):
        arrays_from_npz(npz(x=array))


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (archive(content=header("(1000000000000,)")), r"said to be float32 \[1000000000000\], 4000000000000 bytes, but 0 are there"),
        (archive(content=header("(9223372036854775807, 9223372036854775807)")), "but 0 are there"),
        (archive(content=header("(-1, -4)")), r"said to be float32 \[-1, -4\]"),
        (archive(content=header("(3,)", data=bytes(11))), "12 bytes, but 11 are there"),
        (archive(content=header("(3,)", version=b"\x03\x00")), r"version 3\.0"),
        (archive(content=header("__import__('os')")), r"'x' is no \.npy array"),
        (archive(content=header("(3,)", descr="<f3")), "'x' holds <f3, which is nothing that numpy knows"),
        (archive(content=header("(1,)", descr="<U1", data=b"\0\0\x11\0")), "it holds what is no letter"),
        (archive(content=header("(1,)", descr=">U1", data=b"\0\x11\0\0")), "it holds what is no letter"),
        (archive(content=header("(4097, 0)")), "'x' has 4097 rows of nothing; at most 4096 are read"),
        (archive(content=header("(True,)")), "its header is not as numpy writes it"),
        (archive(content=header("(((((((")), "its header is not as numpy writes it"),
        (archive(content=b"\x93NUMPY\x02\x00\xff\xff\xff\x7f"), "its header is not as numpy writes it"),
        (archive(content=b"\x93NUMPY\x01"), "it does not begin as one"),
        (archive(content=b"nothing that numpy knows"), r"'x' is no \.npy array"),
        (archive(content=b""), r"'x' is no \.npy array"),
        (archive(name="readme.txt", content=b"hello"), r"'readme\.txt' is no \.npy array"),
        (archive(content=npy(np.zeros(3)), method=zipfile.ZIP_LZMA), "'x' is packed in a way that is not read"),
        (io.BytesIO(b"no zip"), "zip"),
        (io.BytesIO(npz(x=np.arange(1000)).getvalue()[:-200]), "zip"),
    ],
)  # fmt: skip
def test_what_lies_or_is_broken_is_refused(file, message):
    with pytest.raises(ValueError, match=message):
        arrays_from_npz(file)


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array(["é", "\U0010ffff"], ">U2"),
        np.array(["", ""]),
        np.array([True, False]),
        np.zeros((2, 3), np.float16),
        np.zeros((4096, 0)),
    ],
)
def test_what_numpy_writes_is_what_is_read(array):
    found = arrays_from_npz(npz(x=array))["x"]
    assert np.array_equal(found, array)
    assert found.dtype == array.dtype.newbyteorder("=")
    found[:1] = found[1:2]  # the caller's own


def test_long_headers_of_version_2_are_read():
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1,), }" + b" " * 200 + b"\n"
    content = b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + np.float32(7).tobytes()
    assert arrays_from_npz(archive(content=content))["x"] == [7]


def test_an_array_that_is_there_twice_is_refused():
    buffer = archive(content=npy(np.zeros(3)))
    with zipfile.ZipFile(buffer, "a") as target, pytest.warns(UserWarning, match="Duplicate name"):
        target.writestr("x.npy", npy(np.ones(3)))
    with pytest.raises(ValueError, match="'x' is in it twice"):
        arrays_from_npz(buffer)


@pytest.mark.parametrize(
    ("count", "name", "message"),
    [
        (10_001, "{}", "it has 10001 arrays, at most 10000"),
        (9_000, "{:0>500}", "its directory has 4950000 bytes, at most"),
    ],
)
def test_a_directory_that_is_long_is_refused(count, name, message):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as target:
        for number in range(count):
            target.writestr(f"{name.format(number)}.npy", b"")
    with pytest.raises(ValueError, match=message):
        arrays_from_npz(buffer)


def test_an_array_that_is_larger_than_a_directory_may_be_is_read():
    array = np.arange(3 * ZIP_DIRECTORY_BYTES // 4, dtype=np.float32)
    stored = io.BytesIO()
    np.savez(stored, x=array)
    assert np.array_equal(arrays_from_npz(stored)["x"], array)
    assert np.array_equal(arrays_from_npz(npz(x=array))["x"], array)


def test_arrays_that_are_too_large_together_are_refused():
    size = 2 * len(npy(np.zeros(3)))
    assert len(arrays_from_npz(npz(a=np.zeros(3), b=np.zeros(3)), size)) == 2
    with pytest.raises(ValueError, match=f"its arrays have {size} bytes, at most {size - 1} are read"):
        arrays_from_npz(npz(a=np.zeros(3), b=np.zeros(3)), size - 1)


def test_what_nobody_asked_for_is_not_read():
    file = npz(x=np.ones(3), y=np.zeros(100_000))
    assert list(arrays_from_npz(file, 1000, only=["x"])) == ["x"]
    with pytest.raises(ValueError, match="it has no array 'z'; it has: x, y"):
        arrays_from_npz(file, 1000, only=["x", "z"])


def test_an_array_takes_its_own_memory_once():
    buffer = npz(x=np.zeros(2**23))
    tracemalloc.start()
    try:
        arrays_from_npz(buffer)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 1.3 * 2**26
