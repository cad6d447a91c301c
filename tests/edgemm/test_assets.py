"""Files that a declaration carries, by themselves and in a table."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import ClassVar

import pytest

from edgemm import assets
from edgemm.assets import Asset, assets_of, files_beside
from edgemm.errors import BundleError, SpecError
from edgemm.host import declarations
from edgemm.host.declarations import declaration_from_table, table_from_declaration
from edgemm.inputs.kind import InputKind


@dataclass(frozen=True)
class Carrying(InputKind):
    kind: ClassVar[str] = "carrying"
    assets: ClassVar[tuple[str, ...]] = ("words", "more")
    words: Asset
    more: Asset | None = None
    size: int = 1


@pytest.fixture(autouse=True)
def carrying(monkeypatch):
    """The only kind there is."""
    monkeypatch.setattr(declarations, "class_of_kind", lambda role, name, provider: Carrying)


def from_table(files=None, **table):
    return declaration_from_table("input", {"kind": "carrying", **table}, "inputs.text", files=files)


def test_a_path_bytes_and_an_asset_are_the_same_file(tmp_path):
    path = tmp_path / "words.txt"
    path.write_bytes(b"add")
    asset = Asset("words.txt", b"add")
    assert (
        Asset.of(path, "x")
        == Asset.of(str(path), "x")
        == Asset.of(asset, "x")
        == Asset.of(b"add", "words.txt")
        == asset
    )
    assert "add" not in repr(asset), "megabytes are no text for people"


def test_a_bundle_has_it_by_its_content():
    digest = hashlib.sha256(b"add").hexdigest()
    assert Asset("words.txt", b"add").path == f"assets/{digest[:16]}/words.txt"


@pytest.mark.parametrize("name", ["", "a/b", "..", ".hidden", "a b", "ä", "a\n", "x" * 101, "a\\b", "c:d"])
def test_a_name_that_no_bundle_can_have_is_refused(name):
    with pytest.raises(SpecError, match="is no name of a file that a bundle can carry"):
        Asset(name, b"")


def test_what_is_too_large_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(assets, "LIMIT_BYTES", 3)
    (tmp_path / "words.txt").write_bytes(b"long")
    with pytest.raises(SpecError, match=r"'words\.txt' has 4 bytes; a bundle carries files of at most 3"):
        Asset("words.txt", b"long")
    monkeypatch.setattr(assets.Path, "read_bytes", lambda path: pytest.fail("it was read"))
    with pytest.raises(SpecError, match="has 4 bytes; a bundle carries files of at most 3"):
        Asset.of(tmp_path / "words.txt", "x")


@pytest.mark.parametrize("value", ["nowhere.txt", "a\0b"])
def test_what_cannot_be_read_is_told(value):
    with pytest.raises(SpecError, match=r"cannot read the words\.txt"):
        Asset.of(value, "words.txt")


def test_what_is_no_file_is_refused():
    with pytest.raises(SpecError, match=r"expected the path of a words\.txt, or its bytes; got int"):
        Asset.of(5, "words.txt")


def test_a_declaration_is_a_table_with_the_files_name_and_back():
    kind = Carrying(Asset("words.txt", b"add"), size=3)
    (asset,) = assets_of(kind)
    table = table_from_declaration(kind)
    assert table == {"kind": "carrying", "words": asset.path, "more": None, "size": 3}
    del table["kind"]
    assert from_table({asset.path: b"add"}.__getitem__, **table) == kind


def test_a_table_names_files_in_the_folder_of_its_file(tmp_path):
    (tmp_path / "words").mkdir()
    (tmp_path / "words" / "en.txt").write_bytes(b"add")
    assert from_table(files_beside(tmp_path), words="words/en.txt").words == Asset("en.txt", b"add")


@pytest.mark.parametrize("words", [5, "", ["words.txt"], {"name": "words.txt"}])
def test_what_names_no_file_is_refused(words):
    with pytest.raises(SpecError, match=r"inputs\.text: words: expected the name of a file, got") as caught:
        from_table(lambda name: b"", words=words)
    assert caught.value.path == ("words",)


def test_a_file_that_is_missing_is_told_with_its_key(tmp_path):
    with pytest.raises(SpecError, match=r"inputs\.text: words: cannot read the file '.*nowhere\.txt'") as caught:
        from_table(files_beside(tmp_path), words="nowhere.txt")
    assert caught.value.path == ("words",)


def test_a_table_of_nowhere_opens_no_file(tmp_path):
    (tmp_path / "words.txt").write_bytes(b"add")
    with pytest.raises(SpecError, match=r"words: there is no folder to look for the file '.*words\.txt' in"):
        from_table(words=str(tmp_path / "words.txt"))


def test_what_a_bundle_says_of_a_file_is_passed_on():
    def refuse(name):
        raise BundleError("it was changed")

    with pytest.raises(BundleError, match="it was changed"):
        from_table(refuse, words="assets/0/words.txt")
