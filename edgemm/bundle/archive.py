"""One zip, read member by member: its directory once, and nothing that is larger than it may be (`limits`).

It knows nothing of what a bundle is.
"""

from __future__ import annotations

import io
import stat
import zipfile
import zlib

from edgemm.errors import BundleError
from edgemm.limits import (
    BUNDLE_BYTES,
    ZIP_DIRECTORY_BYTES,
    ZIP_MEMBERS,
    ZIP_RATIO,
    ZIP_RATIO_FROM_BYTES,
)

_BROKEN = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)
_METHODS = (
    zipfile.ZIP_STORED,
    zipfile.ZIP_DEFLATED,
)  # what we write; others unpack slower, or a thousand times as much
_ENCRYPTED = 1


class Archive:
    """An open zip; it stays open, so that what is read later is of the same file.

    Args:
        path: where it is.
        advice: what to do about one that cannot be read, for messages.

    Raises:
        BundleError: it cannot be read, or lists more than a bundle may.
    """

    def __init__(self, path: object, advice: str) -> None:
        self._path, self._advice = path, advice
        try:
            file = _File(str(path))
            self._zip = zipfile.ZipFile(file)
        except _BROKEN as error:
            raise self._unreadable(error) from None
        file.reading_directory = False
        members = self._zip.infolist()
        if len(members) > ZIP_MEMBERS or len({member.filename for member in members}) < len(members):
            twice = "some of them twice" if len(members) <= ZIP_MEMBERS else f"a bundle has at most {ZIP_MEMBERS}"
            raise BundleError(f"{path}: the zip lists {len(members)} files, {twice}; {advice}")
        total = sum(member.file_size for member in members)
        if total > BUNDLE_BYTES:
            raise BundleError(
                f"{path}: the zip holds {total} bytes unpacked, at most {BUNDLE_BYTES} are read; {advice}"
            )

    def read(self, name: str, limit: int) -> bytes:
        """The content of one member.

        Raises:
            BundleError: it is not there, has more than `limit` bytes, is a link, or cannot be unpacked; checked before anything is.
        """
        try:
            member = self._zip.getinfo(name)
        except KeyError:
            raise BundleError(f"{self._path}: there is no '{name}' in it; is it a bundle? {self._advice}") from None
        self._check(member, limit)
        try:
            with self._zip.open(member) as file:
                return file.read(member.file_size + 1)
        except _BROKEN as error:
            raise self._unreadable(error) from None

    def _check(self, member: zipfile.ZipInfo, limit: int) -> None:
        name, size = member.filename, member.file_size
        problem = ""
        if stat.S_ISLNK(member.external_attr >> 16):
            problem = f"'{name}' is a link, which a bundle may not have"
        elif member.compress_type not in _METHODS or member.flag_bits & _ENCRYPTED:
            problem = f"'{name}' is packed in a way that is not read; expected DEFLATE or nothing, without a password; {self._advice}"
        elif size > limit:
            problem = f"'{name}' has {size} bytes, expected at most {limit}; {self._advice}"
        elif size > ZIP_RATIO_FROM_BYTES and size > ZIP_RATIO * member.compress_size:
            problem = (
                f"'{name}' unpacks {member.compress_size} bytes to {size}: more than {ZIP_RATIO} times as much is not read from a zip; "
                "unpack it into a folder if you know that it is right"
            )
        if problem:
            raise BundleError(f"{self._path}: {problem}")

    def _unreadable(self, error: Exception) -> BundleError:
        return BundleError(f"{self._path}: not a readable bundle: {error}; {self._advice}")


class _File(io.FileIO):
    """A file whose zip directory is not read when it is larger than it may be; closed with whoever holds it."""

    reading_directory = True

    def read(self, size: int | None = -1) -> bytes:
        if self.reading_directory and size is not None and size > ZIP_DIRECTORY_BYTES:
            raise zipfile.BadZipFile(f"its directory has {size} bytes, at most {ZIP_DIRECTORY_BYTES} are read")
        return super().read(size) or b""

    def __del__(self) -> None:
        self.close()
