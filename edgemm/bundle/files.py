"""Reading a bundle, from a folder or a zip, so that nothing outside it is touched and nothing unverified is used.

Only files that the manifest lists are read, at most as many bytes as it says, and what is returned is exactly what was hashed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING

from edgemm import limits
from edgemm.bundle.manifest import FileRecord, manifest_from_json
from edgemm.bundle.trust import UNTRUSTED, Trust
from edgemm.errors import BundleError, UsageError
from edgemm.reading.plain_json import value_from_json

if TYPE_CHECKING:
    from pathlib import Path

MANIFEST, DIGEST, SIGNATURES = "manifest.json", "manifest.sha256", "manifest.sig"
_SMALL = 2**19  # bytes
_ADVICE = "copy or export the bundle again"


class Bundle:
    """An open bundle.

    Attributes:
        path: the folder or zip.
        trust: what the caller trusts it with, for whatever loads its files.
        manifest: what it says of itself.
        id: SHA-256 of the manifest, hexadecimal.
    """

    def __init__(self, path: str | Path, trust: Trust = UNTRUSTED) -> None:
        self._path = os.fspath(path)
        self.trust = trust
        self._read_member = _reader(self._path)
        text = self._read_member(MANIFEST, limits.MANIFEST_BYTES)
        self.id = sha256(text)
        recorded = self._read_member(DIGEST, limits.DIGEST_BYTES).decode("ascii", "replace").split()
        if recorded[:1] != [self.id]:
            raise BundleError(f"{self._path}: {MANIFEST} does not match {DIGEST}: one of them was changed; {_ADVICE}")
        trust.check(self)
        try:
            value = value_from_json(text)
        except ValueError as error:
            raise BundleError(f"{self._path}: {MANIFEST} is not JSON: {error}; {_ADVICE}") from None
        self.manifest = manifest_from_json(value, MANIFEST, self._verified)
        total = sum(record.bytes for record in self.manifest.files.values())
        if total > limits.BUNDLE_BYTES:
            raise BundleError(
                f"{self._path}: its files have {total} bytes together, at most {limits.BUNDLE_BYTES} are read"
            )

    @cached_property
    def path(self) -> Path:
        """Where it is."""
        from pathlib import Path  # a cold start does without it

        return Path(self._path)

    def read(self, name: str) -> bytes:
        """The verified content of one file.

        Raises:
            BundleError: not listed, truncated or changed.
        """
        record = self.manifest.files.get(name)
        if record is None:
            raise BundleError(f"{self._path}: '{name}' is not among the bundle's files")
        return self._verified(name, record)

    def _verified(self, name: str, record: FileRecord) -> bytes:
        content = self._read_member(name, record.bytes)
        if len(content) != record.bytes:
            raise BundleError(
                f"{self._path}: '{name}' has {len(content)} bytes, the manifest says {record.bytes}: it was truncated or changed; {_ADVICE}"
            )
        if sha256(content) != record.sha256:
            raise BundleError(
                f"{self._path}: the content of '{name}' does not match its SHA-256: it was changed; {_ADVICE}"
            )
        return content

    def signatures(self) -> str:
        """What `signing` reads; "" of a bundle that nobody has signed."""
        try:
            return self._read_member(SIGNATURES, limits.SIGNATURES_BYTES).decode("ascii", "replace")
        except BundleError:
            return ""

    def check_all(self) -> int:
        """Verify every file; returns how many."""
        for name in self.manifest.files:
            self.read(name)
        return len(self.manifest.files)


def sha256(content: bytes) -> str:
    """The SHA-256 of a file, hexadecimal; of a small one without OpenSSL, which takes longer to load (3 ms) than that to compute."""
    name = "hashlib"  # four times as fast
    if len(content) < _SMALL:
        name = "_sha256" if sys.version_info < (3, 12) else "_sha2"
    digest: str = import_module(name).sha256(content).hexdigest()
    return digest


def _reader(path: str) -> Callable[[str, int], bytes]:
    if os.path.isdir(path):
        return lambda name, limit: _from_folder(path, name, limit)
    if os.path.isfile(path):
        return _from_zip(path)
    from edgemm.uris import redact

    shown = redact(path)
    raise UsageError(f"there is no bundle at '{shown}'; make one with: edgemm export CHECKPOINT --out {shown}")


def _from_folder(folder: str, name: str, limit: int) -> bytes:
    target = folder
    for part in _safe_parts(folder, name):
        target = os.path.join(target, part)
        if os.path.islink(target):
            raise BundleError(f"{folder}: '{name}' is or lies behind a link, which a bundle may not have")
    try:
        if not os.path.isfile(target):
            raise BundleError(f"{folder}: cannot read '{name}': it is missing, or not a plain file; {_ADVICE}")
        with open(target, "rb") as file:
            return file.read(min(limit, os.fstat(file.fileno()).st_size) + 1)
    except OSError as error:
        raise BundleError(f"{folder}: cannot read '{name}': {error.strerror}; {_ADVICE}") from None


def _from_zip(path: str) -> Callable[[str, int], bytes]:
    from edgemm.bundle.archive import Archive  # a folder's cold start does without it

    archive = Archive(path, _ADVICE)

    def read(name: str, limit: int) -> bytes:
        _safe_parts(path, name)
        return archive.read(name, limit)

    return read


def _safe_parts(path: str, name: str) -> list[str]:
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not parts or name.startswith("/") or "\\" in name or ":" in name or ".." in parts:
        raise BundleError(f"{path}: '{name}' is not a path inside the bundle")
    return parts


def check_name(path: object, name: str) -> None:
    """Raise unless `name` is a path inside of the bundle at `path`."""
    _safe_parts(path, name)  # type: ignore[arg-type]
