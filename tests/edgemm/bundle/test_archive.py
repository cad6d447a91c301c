"""A zip is read member by member, its directory once, and nothing that is larger than it may be."""

from __future__ import annotations

import gc
import os
import warnings
import zipfile

import pytest

import edgemm
from edgemm import limits
from edgemm.bundle import archive as archive_module
from edgemm.bundle.archive import Archive
from edgemm.bundle.files import Bundle
from edgemm.errors import BundleError


def packed(path, members, method=zipfile.ZIP_DEFLATED):
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", method) as target:
        warnings.simplefilter("ignore")  # of names that are there twice
        for name, content in members:
            target.writestr(name, content)
    return path


def packed_again(path, method):
    with zipfile.ZipFile(path) as source:
        members = [(name, source.read(name)) for name in source.namelist()]
    return packed(path, members, method)


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_what_is_packed_in_another_way_is_refused(three_inputs, method):
    path = packed_again(three_inputs(zipped=True), method)
    with pytest.raises(BundleError, match=r"'manifest\.json' is packed in a way that is not read; expected DEFLATE"):
        edgemm.open(path)


def test_what_is_not_packed_opens(three_inputs):
    path = packed_again(three_inputs(zipped=True), zipfile.ZIP_STORED)
    assert Bundle(path).check_all() == 4


def test_a_password_is_not_asked_for(tmp_path):
    path = packed(tmp_path / "a.zip", [("x", b"x")], zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    for signature, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.index(signature) + flags] |= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match="without a password"):
        Archive(path, "").read("x", 10)


def test_the_directory_is_read_once(three_inputs, monkeypatch):
    path = three_inputs(zipped=True)
    opened = []

    class Counted(zipfile.ZipFile):
        def __init__(self, *arguments):
            opened.append(arguments)
            super().__init__(*arguments)

    monkeypatch.setattr(archive_module.zipfile, "ZipFile", Counted)
    edgemm.open(path).bundle.check_all()
    assert len(opened) == 1


def test_more_members_than_a_bundle_has_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "ZIP_MEMBERS", 3)
    assert Archive(packed(tmp_path / "a.zip", [(str(n), b"x") for n in range(3)]), "").read("2", 1) == b"x"
    with pytest.raises(BundleError, match="lists 4 files, a bundle has at most 3"):
        Archive(packed(tmp_path / "b.zip", [(str(n), b"x") for n in range(4)]), "")


def test_a_directory_that_is_too_large_is_not_read(tmp_path):
    names = [("x" * 200 + str(n), b"") for n in range(limits.ZIP_DIRECTORY_BYTES // 200)]
    path = packed(tmp_path / "a.zip", names)
    with pytest.raises(BundleError, match=f"its directory has .* bytes, at most {limits.ZIP_DIRECTORY_BYTES} are read"):
        Archive(path, "")


def test_a_name_that_is_there_twice_is_refused(tmp_path):
    with pytest.raises(BundleError, match="some of them twice"):
        Archive(packed(tmp_path / "a.zip", [("x", b"1"), ("x", b"2")]), "")


def test_a_member_that_unpacks_to_much_more_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    size = limits.ZIP_RATIO_FROM_BYTES + 1
    path = packed(tmp_path / "a.zip", [("bomb", bytes(size)), ("small", bytes(1000))])
    archive = Archive(path, "")
    assert archive.read("small", 1000) == bytes(1000), "what is small may be nothing but zeros"
    monkeypatch.setattr(archive_module.zipfile.ZipFile, "open", None)
    with pytest.raises(BundleError, match=rf"'bomb' unpacks \d+ bytes to {size}: more than {limits.ZIP_RATIO} times"):
        archive.read("bomb", size)


def test_members_that_are_too_large_together_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(archive_module, "BUNDLE_BYTES", 5)
    assert Archive(packed(tmp_path / "a.zip", [("a", b"12"), ("b", b"345")]), "").read("b", 3) == b"345"
    with pytest.raises(BundleError, match="holds 6 bytes unpacked, at most 5"):
        Archive(packed(tmp_path / "b.zip", [("a", b"123"), ("b", b"345")]), "")


def test_a_member_larger_than_it_may_be_is_not_unpacked(tmp_path):
    with pytest.raises(BundleError, match="'x' has 5 bytes, expected at most 4"):
        Archive(packed(tmp_path / "a.zip", [("x", b"12345")]), "").read("x", 4)


def test_what_is_no_zip_is_no_bundle(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"PK" + bytes(100))
    with pytest.raises(BundleError, match="not a readable bundle"):
        Archive(tmp_path / "a.zip", "")


def test_nothing_stays_open_when_an_archive_is_gone(tmp_path):
    path = packed(tmp_path / "a.zip", [("x", b"x")])
    (tmp_path / "b.zip").write_bytes(b"PK" + bytes(100))
    before = len(os.listdir("/proc/self/fd"))
    archive = Archive(path, "")
    assert len(os.listdir("/proc/self/fd")) > before
    with pytest.raises(BundleError):
        Archive(tmp_path / "b.zip", "")
    del archive
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) == before
