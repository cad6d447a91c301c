"""Writing a bundle: aside first, then renamed, so that a bundle is there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from types import TracebackType

from edgemm.bundle.files import DIGEST, MANIFEST, check_name
from edgemm.bundle.manifest import FileRecord, Manifest, json_from_manifest
from edgemm.errors import BundleError, UsageError

_CHOOSE = "choose another --out, or replace it with --overwrite"
_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EIO}


class BundleWriter:
    """Collects a bundle's files in a folder beside `target`; `finish` puts it in place, anything else leaves no trace.

    Args:
        target: folder to make, or a zip when `zipped`.
        overwrite: replace what is there, but only if it is a bundle.
    """

    def __init__(self, target: str | Path, *, overwrite: bool = False, zipped: bool = False) -> None:
        self.target = Path(target)
        if self.target.is_symlink():  # what it points to is replaced, not the link
            self.target = self.target.resolve()
        self.zipped = zipped
        self.overwrite = overwrite
        if self.target.exists():
            if not overwrite:
                raise UsageError(f"'{self.target}' exists; {_CHOOSE}")
            self._expect_replaceable(self.target)
        with _disk_errors(self.target):
            self.target.absolute().parent.mkdir(parents=True, exist_ok=True)
            aside = tempfile.mkdtemp(prefix=f".{self.target.name}.", dir=self.target.absolute().parent)
        self.folder = Path(aside)

    def __enter__(self) -> BundleWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        self._aside_zip.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _DISK:  # a step wrote into the folder on its own
            with _disk_errors(self.target):
                raise error

    @property
    def _aside_zip(self) -> Path:
        return self.folder.with_name(self.folder.name + ".zip")

    def path(self, name: str) -> Path:
        """Where to write the file that the bundle will call `name`; its folder exists.

        Raises:
            BundleError: that would be outside of the bundle; names may come from a manifest that somebody else wrote.
        """
        check_name(self.target, name)
        path = self.folder / name
        with _disk_errors(self.target):
            path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def add(self, name: str, content: bytes | str) -> str:
        """Write one file and return its name."""
        with _disk_errors(self.target):
            self.path(name).write_bytes(content.encode() if isinstance(content, str) else content)
        return name

    def records(self) -> dict[str, FileRecord]:
        """Size and hash of every file written so far."""
        return {path.relative_to(self.folder).as_posix(): _record(path) for path in _files(self.folder)}

    def finish(self, manifest_from_files: Callable[[dict[str, FileRecord]], Manifest]) -> str:
        """Seal it and put it in place; returns the bundle's id."""
        digest = self.seal(manifest_from_files)
        self.put_in_place()
        return digest

    def seal(self, manifest_from_files: Callable[[dict[str, FileRecord]], Manifest]) -> str:
        """Hash everything and write the manifest, and the files that its declarations carry; returns the bundle's id.

        `sealed` can be opened then, and nothing may be added.
        """
        with _disk_errors(self.target):
            manifest = self._with_assets(manifest_from_files(self.records()))
            text = json.dumps(json_from_manifest(manifest), indent=1) + "\n"
            digest = hashlib.sha256(text.encode()).hexdigest()
            self.add(MANIFEST, text)
            self.add(DIGEST, f"{digest}  {MANIFEST}\n")
            self.folder.chmod(0o755)
            if self.zipped:
                _zip(self.folder, self._aside_zip)
        return digest

    def _with_assets(self, manifest: Manifest) -> Manifest:
        missing = {asset.path: asset.content for asset in manifest.assets if asset.path not in manifest.files}
        added = {name: _record(self.folder / self.add(name, content)) for name, content in missing.items()}
        if not added:
            return manifest
        ordered = sorted({**manifest.files, **added}.items(), key=lambda item: PurePosixPath(item[0]))  # as `records`
        return replace(manifest, files=dict(ordered))

    @property
    def sealed(self) -> Path:
        """The whole bundle, beside where it will be."""
        return self._aside_zip if self.zipped else self.folder

    def put_in_place(self) -> None:
        """Rename what was sealed to `target`, and what it replaces away.

        Raises:
            UsageError: something has appeared there meanwhile that may not be replaced.
        """
        with _disk_errors(self.target):
            for path in (*_files(self.sealed), self.sealed) if self.sealed.is_dir() else (self.sealed,):
                _flush(path)
            if self.overwrite and self.target.exists():
                self._replace()
            else:
                self._place()
            _flush(self.target.absolute().parent)

    def _place(self) -> None:
        """Where nothing may be: making the name fails if somebody else has made it, so nobody's is replaced."""
        try:
            if self.zipped:
                self.target.touch(exist_ok=False)
            else:
                self.target.mkdir()
        except FileExistsError:
            raise UsageError(f"'{self.target}' has appeared meanwhile: {_CHOOSE}") from None
        os.replace(
            self.sealed, self.target
        )  # the empty file, or the folder, which may only be replaced while it is empty

    def _replace(self) -> None:
        """A folder is moved aside first: then it is certain what it is, and it comes back if it is no bundle."""
        if not self.target.is_dir() and self.zipped:
            self._expect_replaceable(self.target)
            os.replace(self.sealed, self.target)
            return
        folder = Path(tempfile.mkdtemp(prefix=f".{self.target.name}.old.", dir=self.target.absolute().parent))
        old = folder / self.target.name
        os.replace(self.target, old)
        try:
            self._expect_replaceable(old)
            os.replace(self.sealed, self.target)
        except BaseException:
            os.replace(old, self.target)
            raise
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _expect_replaceable(self, there: Path) -> None:
        if not _replaceable(there):
            raise UsageError(f"'{self.target}' is there, but is not a bundle: not overwritten")


def _replaceable(target: Path) -> bool:
    """A bundle, or an empty folder; never anything else that happens to have that name."""
    if target.is_dir():
        return not any(target.iterdir()) or all((target / name).is_file() for name in (MANIFEST, DIGEST))
    try:
        with zipfile.ZipFile(target) as archive:
            return {MANIFEST, DIGEST} <= set(archive.namelist())
    except (zipfile.BadZipFile, OSError):
        return False


def _flush(path: Path) -> None:
    """Onto the disk, so that a name never stands for what a power cut has lost."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _record(path: Path) -> FileRecord:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return FileRecord(path.stat().st_size, digest.hexdigest())


def _zip(folder: Path, target: Path) -> None:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in _files(folder):
            archive.write(path, path.relative_to(folder).as_posix())


@contextlib.contextmanager
def _disk_errors(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise BundleError(
            f"cannot write the bundle '{target}': {error.strerror or error}; nothing was left behind"
        ) from error
